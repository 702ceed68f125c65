//! Values as TOML text, in the way a person would write them: for files and documents that are made from declarations.

use super::tree::{Data, Node};

/// Widest line before a list or a table is written over several.
const WIDTH: usize = 100;

/// `node` as TOML; what follows the first line is indented as below a key that stands at the margin.
pub fn value(node: &Node) -> String {
    let line = inline(node);
    let items: Vec<String> = match &node.data {
        _ if line.chars().count() <= WIDTH => return line,
        Data::List(list) => list.iter().map(inline).collect(),
        Data::Table(table) => {
            table.entries.iter().map(|entry| format!("{} = {}", key(&entry.key), inline(&entry.node))).collect()
        }
        _ => return line,
    };
    let (open, close) = if node.list().is_some() { ('[', ']') } else { ('{', '}') };
    let items: String = items.iter().map(|item| format!("    {item},\n")).collect();
    format!("{open}\n{items}{close}")
}

/// `node` as TOML in one line.
pub fn inline(node: &Node) -> String {
    match &node.data {
        Data::Text(text) => quoted(text),
        Data::Integer(text) | Data::Float(text) => text.clone(),
        Data::Boolean(value) => value.to_string(),
        Data::Moment(moment) => moment.to_string(),
        Data::List(list) => format!("[{}]", list.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Data::Table(table) if table.entries.is_empty() => "{}".to_owned(),
        Data::Table(table) => {
            let entries = table.entries.iter().map(|entry| format!("{} = {}", key(&entry.key), inline(&entry.node)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A key, in quotes where it needs them.
pub fn key(text: &str) -> String {
    let bare = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// `text` in lines of at most `width` characters, broken at spaces.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words(text) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// Words, of which what stands in backticks is one unless it is long.
fn words(text: &str) -> Vec<String> {
    const LONG: usize = 60;
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match words.last_mut() {
            Some(open) if open.matches('`').count() % 2 == 1 && open.chars().count() + word.chars().count() < LONG => {
                open.push(' ');
                open.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::super::tree;
    use super::*;
    use proptest::prelude::*;

    fn any_node() -> impl Strategy<Value = Node> {
        let node = |data| Node { range: 0..0, data };
        let leaf = prop_oneof![
            any::<String>().prop_map(Data::Text),
            any::<i64>().prop_map(|number| Data::Integer(number.to_string())),
            any::<bool>().prop_map(Data::Boolean),
        ];
        leaf.prop_map(node).prop_recursive(3, 24, 5, move |inner| {
            let table = proptest::collection::btree_map("[a-z. ]{0,4}", inner.clone(), 0..5).prop_map(|entries| {
                let entries = entries.into_iter().map(|(key, node)| tree::Entry { key, key_range: 0..0, node });
                Data::Table(tree::Table { entries: entries.collect() })
            });
            let list = proptest::collection::vec(inner, 0..5).prop_map(Data::List);
            prop_oneof![table, list].prop_map(node)
        })
    }

    fn bare(node: &Node) -> Node {
        let mut node = node.clone();
        sort(&mut node);
        node.place_at(&(0..0));
        node
    }

    /// A reader gives the keys of a table by their places, which are all alike here.
    fn sort(node: &mut Node) {
        match &mut node.data {
            Data::Table(table) => {
                table.entries.sort_by(|one, other| one.key.cmp(&other.key));
                table.entries.iter_mut().for_each(|entry| sort(&mut entry.node));
            }
            Data::List(list) => list.iter_mut().for_each(sort),
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(node in any_node()) {
            for text in [value(&node), inline(&node)] {
                let read = tree::read_value(&text, &(0..0)).map_err(|why| TestCaseError::fail(format!("{why}: {text}")))?;
                prop_assert_eq!(bare(&read), bare(&node), "{}", text);
            }
        }
    }
}
