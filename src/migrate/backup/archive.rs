//! Reads an archive through, as far as the proof goes: every name, sort, mode, owner, size, link and the SHA-256 of every
//! file, in the words of `manifest.sh`, so that it can be compared with a tree on a host. Pure but for the reading.
//!
//! The reader is our own: archives hold extended headers with line breaks in their values (ACLs, attributes, odd names)
//! and sparse files of GNU's format 1.0, both of which the usual crate reads wrongly. It knows what GNU tar writes with
//! `--format=posix`, and refuses anything else.

use std::collections::BTreeMap;
use std::io::{self, Read};

use sha2::Digest as _;

const BLOCK: usize = 512;
/// Most that an extended header may take: names and attributes are far smaller.
const MOST_HEADER: u64 = 16 * 1024 * 1024;
/// What a database of SQLite begins with.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// One thing in a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its path below the tree's top, which has the empty name.
    pub(super) name: Vec<u8>,
    /// `f`, `d`, `l`, `p`, `b`, `c`, `s`.
    pub(super) sort: char,
    /// Permissions.
    pub(super) mode: u32,
    /// Owner and group.
    pub(super) owner: (u64, u64),
    /// Bytes, of a file.
    pub(super) size: u64,
    /// Where a symbolic link leads.
    pub(super) link: Vec<u8>,
    /// Of further names of a thing that has several in the tree, the first of them.
    pub(super) leader: Vec<u8>,
    /// SHA-256 of a file, in hexadecimal digits.
    pub(super) sum: String,
}

/// All that is in a tree, in the order of a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tree {
    pub(super) entries: Vec<Entry>,
    /// Files that begin as databases of SQLite do.
    pub(super) databases: Vec<Vec<u8>>,
}

impl Tree {
    /// Puts entries in order, and gives those with several names their leader.
    fn new(mut entries: Vec<Entry>, databases: Vec<Vec<u8>>) -> Self {
        // As `sort -z` puts whole records: no name holds the two slashes that end it.
        let key = |name: &[u8]| [name, b"//"].concat();
        entries.sort_by_cached_key(|entry| key(&entry.name));
        let mut groups: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
        for (number, entry) in entries.iter_mut().enumerate() {
            let group = std::mem::take(&mut entry.leader);
            if !group.is_empty() || entry.sort != 'd' {
                groups.entry(if group.is_empty() { entry.name.clone() } else { group }).or_default().push(number);
            }
        }
        for numbers in groups.values().filter(|numbers| numbers.len() > 1) {
            let leader = entries[numbers[0]].name.clone();
            numbers.iter().skip(1).for_each(|number| entries[*number].leader.clone_from(&leader));
        }
        Self { entries, databases }
    }

    /// Reads what `manifest_entries` of a host says. Errors: it makes no sense.
    pub(super) fn of_host(text: &[u8]) -> Result<Self, String> {
        let records = text.split(|byte| *byte == 0).filter(|record| !record.is_empty());
        let entries = records.map(of_host).collect::<Option<Vec<Entry>>>();
        let entries = entries.ok_or("the host's list of files makes no sense")?;
        Ok(Self::new(entries, Vec::new()))
    }

    /// Without those whose names `drop` is true of.
    pub(super) fn without(&self, drop: impl Fn(&Entry) -> bool) -> Self {
        let entries = self.entries.iter().filter(|entry| !drop(entry)).cloned().collect();
        Self::new(entries, self.databases.clone())
    }

    /// The digest that `manifest_take` gives of the same tree on a host.
    pub(super) fn digest(&self) -> String {
        let mut hash = sha2::Sha256::new();
        for entry in &self.entries {
            let size = if entry.sort == 'f' { entry.size.to_string() } else { String::new() };
            let (user, group) = entry.owner;
            let facts = format!("{} {:o} {user} {group} {size}", entry.sort, entry.mode);
            let parts: [&[u8]; 5] = [&entry.name, facts.as_bytes(), &entry.link, &entry.leader, entry.sum.as_bytes()];
            for (number, part) in parts.into_iter().enumerate() {
                hash.update(if number == 0 { &b""[..] } else { &b"//"[..] });
                hash.update(part);
            }
            hash.update(b"\0");
        }
        hex(&hash.finalize())
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size).sum()
    }
}

/// What makes an archive differ from the tree that it was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Differences {
    /// Names that are as they were neither before nor after: taken while in use, or not as they are.
    pub(super) in_use: Vec<String>,
    /// Names that were there before and after alike, and are not in the archive.
    pub(super) missing: Vec<String>,
}

/// Compares an archive with two looks at its tree, before and after. `staged` are files that stand in the place of live
/// ones, with the SHA-256 that the host counted.
pub(super) fn differences(
    archive: &Tree,
    before: &Tree,
    after: &Tree,
    staged: &BTreeMap<Vec<u8>, String>,
) -> Differences {
    let by_name = |tree: &Tree| -> BTreeMap<Vec<u8>, Entry> {
        tree.entries.iter().map(|entry| (entry.name.clone(), entry.clone())).collect()
    };
    let (mut before, after) = (by_name(before), by_name(after));
    let mut found = Differences::default();
    let shown = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    for entry in &archive.entries {
        let was = before.remove(&entry.name);
        let same = match staged.get(&entry.name) {
            Some(sum) => *sum == entry.sum && entry.sort == 'f',
            None => was.as_ref() == Some(entry) || after.get(&entry.name) == Some(entry),
        };
        let bare = archive.databases.contains(&entry.name) && !staged.contains_key(&entry.name);
        // A database that nobody has taken is not whole merely because its file stood still for a moment.
        if !same || (bare && was.as_ref() != after.get(&entry.name)) {
            found.in_use.push(shown(&entry.name));
        }
    }
    let unmoved = before.into_iter().filter(|(name, entry)| after.get(name) == Some(entry));
    found.missing = unmoved.map(|(name, _)| shown(&name)).collect();
    found
}

/// Of a record `name//sort mode user group size//link//leader//sum`; only the link may hold two slashes itself.
fn of_host(record: &[u8]) -> Option<Entry> {
    let find = |text: &[u8], from_end: bool| {
        let mut all = text.windows(2).enumerate().filter(|(_, two)| *two == b"//").map(|(at, _)| at);
        if from_end { all.next_back() } else { all.next() }
    };
    let (name, rest) = record.split_at(find(record, false)?);
    let rest = &rest[2..];
    let (facts, rest) = rest.split_at(find(rest, false)?);
    let rest = &rest[2..];
    let (rest, sum) = rest.split_at(find(rest, true)?);
    let at = find(rest, true)?;
    let (link, leader) = rest.split_at(at);
    let mut words = std::str::from_utf8(facts).ok()?.split(' ');
    let sort = words.next()?.chars().next()?;
    let mode = u32::from_str_radix(words.next()?, 8).ok()?;
    let mut number = || words.next()?.parse::<u64>().ok();
    let (user, group) = (number()?, number()?);
    Some(Entry {
        name: name.to_vec(),
        sort,
        mode,
        owner: (user, group),
        size: number().unwrap_or(0),
        link: link.to_vec(),
        leader: leader[2..].to_vec(),
        sum: String::from_utf8_lossy(&sum[2..]).into_owned(),
    })
}

/// Reads an archive that gzip has compressed. `single`: it holds one file, which is the tree. Errors: it is cut off,
/// altered, or not such an archive.
pub(super) fn read_compressed(from: impl Read, single: bool) -> io::Result<Tree> {
    let mut unpacked = io::BufReader::with_capacity(256 * 1024, flate2::read::MultiGzDecoder::new(from));
    read(&mut unpacked, single)
}

/// Reads an archive.
pub(super) fn read(from: &mut impl Read, single: bool) -> io::Result<Tree> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut places: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let mut databases = Vec::new();
    let mut extended = BTreeMap::new();
    loop {
        let block = block(from)?;
        if block.iter().all(|byte| *byte == 0) {
            break;
        }
        let header = Header::of(&block)?;
        match header.sort {
            b'x' => {
                extended = records(&body(from, header.size)?)?;
                continue;
            }
            b'g' => {
                body(from, header.size)?;
                continue;
            }
            _ => {}
        }
        let (entry, is_database) = entry(from, &header, &std::mem::take(&mut extended), single)?;
        if is_database {
            databases.push(entry.name.clone());
        }
        let entry = match header.sort {
            b'1' => linked(entry, &entries, &places)?,
            _ => entry,
        };
        if let Some(above) = above(&entry.name)
            .find(|above| places.get(*above).and_then(|at| entries.get(*at)).is_some_and(|above| above.sort != 'd'))
        {
            let (name, above) = (entry.name.escape_ascii(), above.escape_ascii());
            return Err(bad(format!("`{name}` lies below `{above}`, which is no folder")));
        }
        if places.insert(entry.name.clone(), entries.len()).is_some() {
            return Err(bad(format!("`{}` is there twice", entry.name.escape_ascii())));
        }
        entries.push(entry);
    }
    // The sum that gzip has at its end is looked at only by whoever reads so far.
    let mut rest = [0; 4096];
    loop {
        match from.read(&mut rest)? {
            0 => break,
            length if rest[..length].iter().all(|byte| *byte == 0) => {}
            _ => return Err(bad("something stands behind its end".to_owned())),
        }
    }
    if single && entries.len() != 1 {
        return Err(bad("it does not hold just one file"));
    }
    Ok(Tree::new(entries, databases))
}

/// Another name of something that came before.
fn linked(entry: Entry, entries: &[Entry], places: &BTreeMap<Vec<u8>, usize>) -> io::Result<Entry> {
    let first = places.get(&entry.link).and_then(|at| entries.get(*at));
    let first = first.ok_or_else(|| bad(format!("`{}` leads to nothing", entry.name.escape_ascii())))?;
    let leader = if first.leader.is_empty() { first.name.clone() } else { first.leader.clone() };
    Ok(Entry { name: entry.name, leader, ..first.clone() })
}

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

fn entry(from: &mut impl Read, header: &Header, extended: &Records, single: bool) -> io::Result<(Entry, bool)> {
    let number = |name: &str| -> io::Result<Option<u64>> {
        let Some(value) = extended.get(name.as_bytes()) else { return Ok(None) };
        let text = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        text.map(Some).ok_or_else(|| bad(format!("{name} is no number")))
    };
    let text = |names: [&str; 2], other: &[u8]| {
        let found = names.iter().find_map(|name| extended.get(name.as_bytes()));
        found.map_or_else(|| other.to_vec(), Clone::clone)
    };
    let name = inner_name(&text(["GNU.sparse.name", "path"], &header.name))?;
    let link = text(["linkpath", "linkpath"], &header.link);
    let owner = (number("uid")?.unwrap_or(header.owner.0), number("gid")?.unwrap_or(header.owner.1));
    let stored = number("size")?.unwrap_or(header.size);
    let sort = match header.sort {
        b'0' | 0 => 'f',
        // What it is another name of decides.
        b'1' => 'f',
        b'2' => 'l',
        b'3' => 'c',
        b'4' => 'b',
        b'5' => 'd',
        b'6' => 'p',
        other => return Err(bad(format!("an entry of the unknown sort {other}"))),
    };
    let mut entry = Entry { name, sort, mode: header.mode, owner, ..Entry::default() };
    let mut is_database = false;
    match header.sort {
        b'0' | 0 => {
            let sparse = extended.contains_key(&b"GNU.sparse.major"[..]);
            let real =
                if sparse { number("GNU.sparse.realsize")?.ok_or_else(|| bad("a size is missing"))? } else { stored };
            let mut sum = Sum::default();
            content(from, stored, sparse.then_some(real), &mut sum)?;
            if sum.bytes != real {
                return Err(bad(format!("`{}` has another size than it says", entry.name.escape_ascii())));
            }
            is_database = real >= 100 && sum.head == SQLITE;
            entry.size = real;
            entry.sum = hex(&sum.hash.finalize());
        }
        b'1' => entry.link = inner_name(&link)?,
        b'2' => entry.link = link,
        _ => {}
    }
    if single {
        entry.name.clear();
    }
    Ok((entry, is_database))
}

/// Counts a file's content.
#[derive(Default)]
struct Sum {
    hash: sha2::Sha256,
    bytes: u64,
    head: Vec<u8>,
}

impl Sum {
    fn push(&mut self, bytes: &[u8]) {
        let room = SQLITE.len() - self.head.len();
        self.head.extend(&bytes[..room.min(bytes.len())]);
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    fn hole(&mut self, mut length: u64) {
        let zeros = [0; 64 * 1024];
        while length > 0 {
            let part = length.min(zeros.len() as u64);
            self.push(&zeros[..part as usize]);
            length -= part;
        }
    }
}

/// Reads a file of `stored` bytes; of a sparse one these are a map and what lies between the holes.
fn content(from: &mut impl Read, stored: u64, real: Option<u64>, sum: &mut Sum) -> io::Result<()> {
    let mut left = from.take(stored);
    match real {
        None => pour(&mut left, stored, sum)?,
        Some(real) => {
            let mut map = Map { from: &mut left, read: 0 };
            let parts = map.number()?;
            let mut all = Vec::new();
            for _ in 0..parts {
                all.push((map.number()?, map.number()?));
            }
            let rest = (BLOCK as u64 - map.read % BLOCK as u64) % BLOCK as u64;
            skip(&mut left, rest)?;
            for (at, length) in all {
                let hole = at.checked_sub(sum.bytes).ok_or_else(|| bad("the parts of a sparse file overlap"))?;
                if at.checked_add(length).is_none_or(|end| end > real) {
                    return Err(bad("a part of a sparse file lies behind its end"));
                }
                sum.hole(hole);
                pour(&mut left, length, sum)?;
            }
            sum.hole(real.saturating_sub(sum.bytes));
        }
    }
    skip(&mut left, 0)?;
    if left.limit() > 0 {
        return Err(bad("a file has more content than it says"));
    }
    skip(from, (BLOCK as u64 - stored % BLOCK as u64) % BLOCK as u64)
}

/// The map of a sparse file: decimal numbers, a line each.
struct Map<'a, R> {
    from: &'a mut R,
    read: u64,
}

impl<R: Read> Map<'_, R> {
    fn number(&mut self) -> io::Result<u64> {
        let mut number: u64 = 0;
        loop {
            let mut byte = [0];
            self.from.read_exact(&mut byte)?;
            self.read += 1;
            match byte[0] {
                b'\n' => return Ok(number),
                digit @ b'0'..=b'9' => {
                    let more = number.checked_mul(10).and_then(|number| number.checked_add(u64::from(digit - b'0')));
                    number = more.ok_or_else(|| bad("a number is too large"))?;
                }
                _ => return Err(bad("the map of a sparse file makes no sense")),
            }
        }
    }
}

fn pour(from: &mut impl Read, mut length: u64, sum: &mut Sum) -> io::Result<()> {
    let mut part = [0; 64 * 1024];
    while length > 0 {
        let most = length.min(part.len() as u64) as usize;
        from.read_exact(&mut part[..most])?;
        sum.push(&part[..most]);
        length -= most as u64;
    }
    Ok(())
}

fn skip(from: &mut impl Read, length: u64) -> io::Result<()> {
    let skipped = io::copy(&mut from.take(length), &mut io::sink())?;
    if skipped < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

fn body(from: &mut impl Read, size: u64) -> io::Result<Vec<u8>> {
    if size > MOST_HEADER {
        return Err(bad("a header is too large"));
    }
    let mut body = vec![0; size as usize];
    from.read_exact(&mut body)?;
    skip(from, (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64)?;
    Ok(body)
}

/// Of `27 path=name\n…`: a record's length counts all of it, so that its value may hold anything.
fn records(mut text: &[u8]) -> io::Result<Records> {
    let mut all = Records::new();
    while !text.is_empty() {
        let wrong = || bad("an extended header makes no sense");
        let blank = text.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
        let length: usize = std::str::from_utf8(&text[..blank]).ok().and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
        let record = text.get(blank + 1..length).ok_or_else(wrong)?.strip_suffix(b"\n").ok_or_else(wrong)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
        all.insert(record[..equals].to_vec(), record[equals + 1..].to_vec());
        text = &text[length..];
    }
    Ok(all)
}

fn block(from: &mut impl Read) -> io::Result<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    from.read_exact(&mut block)?;
    Ok(block)
}

/// What a header's block says.
struct Header {
    name: Vec<u8>,
    mode: u32,
    owner: (u64, u64),
    size: u64,
    sort: u8,
    link: Vec<u8>,
}

impl Header {
    fn of(block: &[u8; BLOCK]) -> io::Result<Self> {
        let text = |from: usize, length: usize| {
            let field = &block[from..from + length];
            field[..field.iter().position(|byte| *byte == 0).unwrap_or(length)].to_vec()
        };
        let number = |from: usize, length: usize| -> io::Result<u64> {
            let field = text(from, length);
            let digits = std::str::from_utf8(&field).unwrap_or("?").trim();
            if digits.is_empty() { Ok(0) } else { u64::from_str_radix(digits, 8).map_err(|_| bad("a number is none")) }
        };
        let blank = |at: usize, byte: u8| if (148..156).contains(&at) { b' ' } else { byte };
        let sum: u64 = block.iter().enumerate().map(|(at, byte)| u64::from(blank(at, *byte))).sum();
        if number(148, 8)? != sum {
            return Err(bad("the sum of a header is wrong"));
        }
        let (mut name, prefix) = (text(0, 100), text(345, 155));
        if !prefix.is_empty() {
            name = [&prefix[..], b"/", &name].concat();
        }
        Ok(Self {
            name,
            mode: (number(100, 8)? & 0o7777) as u32,
            owner: (number(108, 8)?, number(116, 8)?),
            size: number(124, 12)?,
            sort: block[156],
            link: text(157, 100),
        })
    }
}

/// `./a/b` and `a/b/` as `a/b`. Errors: it leads out of the tree.
fn inner_name(name: &[u8]) -> io::Result<Vec<u8>> {
    let parts: Vec<&[u8]> = name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    if name.starts_with(b"/") || parts.contains(&&b".."[..]) {
        return Err(bad(format!("`{}` leads out of its tree", name.escape_ascii())));
    }
    Ok(parts.join(&b'/'))
}

/// All that a name lies below, but for the top: of `a/b/c` `a/b` and `a`.
fn above(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    name.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &name[..at])
}

fn bad(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
