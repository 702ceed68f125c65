//! The built-in playbooks and templates are read at compile time; cargo must know that a new file there is a change.

fn main() {
    println!("cargo::rerun-if-changed=playbooks");
    println!("cargo::rerun-if-changed=templates");
}
