//! Checks that no files of a crate depend on each other in a circle, which Cargo allows within a crate.
//!
//! A file depends on the files whose items it names by a path: in `use`, also in groups, and in expressions. An item
//! that a module imports or re-exports belongs to the file that defines it, so a parent that only re-exports its
//! children depends on none of them.

use super::sources::host_code;
use std::collections::{BTreeMap, BTreeSet};

/// The segments of a module's or an item's path from the crate's root.
type Segments = Vec<String>;

/// An imported name, and the path it stands for.
struct Import {
    name: String,
    path: Segments,
    is_public: bool,
}

/// The paths that a file names.
#[derive(Default)]
struct Names {
    imports: Vec<Import>,
    /// Paths in expressions and types.
    paths: Vec<Segments>,
    /// Single words outside `use`.
    words: BTreeSet<String>,
}

fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            ':' if rest.starts_with("::") => 2,
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token);
        rest = after.trim_start();
    }
    tokens
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Reads one `use` tree from `at`, and adds its leaves; returns the place after it.
fn use_tree(tokens: &[&str], mut at: usize, prefix: &[String], leaves: &mut Vec<(String, Segments)>) -> usize {
    let mut path = prefix.to_vec();
    while let Some(&token) = tokens.get(at) {
        match token {
            "::" => at += 1,
            "{" => {
                at += 1;
                while !matches!(tokens.get(at), None | Some(&"}")) {
                    at = use_tree(tokens, at, &path, leaves);
                    if tokens.get(at) == Some(&",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "as" => {
                leaves.push((tokens.get(at + 1).copied().unwrap_or_default().to_owned(), path));
                return at + 2;
            }
            "," | ";" | "}" => break,
            "self" if !path.is_empty() => at += 1,
            segment => {
                path.push(segment.to_owned());
                at += 1;
            }
        }
    }
    leaves.push((path.last().cloned().unwrap_or_default(), path));
    at
}

/// The path from the crate's root of a path that a module names; `None` if it leads out of the crate.
fn absolute(path: &[String], module: &[String], children: &BTreeSet<String>) -> Option<Segments> {
    let mut rest = path;
    let mut base = match rest.first()?.as_str() {
        "crate" => {
            rest = &rest[1..];
            Vec::new()
        }
        "self" => {
            rest = &rest[1..];
            module.to_vec()
        }
        "super" => module.to_vec(),
        first if children.contains(first) => module.to_vec(),
        _ => return None,
    };
    while rest.first().is_some_and(|first| first == "super") {
        base.pop();
        rest = &rest[1..];
    }
    base.extend_from_slice(rest);
    Some(base)
}

/// The names in the code of a module's file.
fn names(code: &str, module: &[String], children: &BTreeSet<String>) -> Names {
    let tokens = tokens(code);
    let mut found = Names::default();
    // Inline modules around the current place, with the depth of braces at which each ends.
    let mut inline: Vec<(usize, String)> = Vec::new();
    let (mut depth, mut at) = (0, 0);
    while at < tokens.len() {
        let current: Segments = module.iter().chain(inline.iter().map(|(_, name)| name)).cloned().collect();
        match tokens[at] {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inline.retain(|(end, _)| *end <= depth);
            }
            "mod" if tokens.get(at + 2) == Some(&"{") => {
                inline.push((depth + 1, tokens[at + 1].to_owned()));
                depth += 1;
                at += 3;
                continue;
            }
            // Behind a bound, `use<…>` names captured lifetimes.
            "use" if at == 0 || matches!(tokens[at - 1], ";" | "{" | "}" | "]" | ")" | "pub") => {
                let is_public = at > 0 && matches!(tokens[at - 1], "pub" | ")");
                let mut leaves = Vec::new();
                at = use_tree(&tokens, at + 1, &[], &mut leaves);
                for (name, path) in leaves {
                    if let Some(path) = absolute(&path, &current, children) {
                        found.imports.push(Import { name, path, is_public });
                    }
                }
                continue;
            }
            token if is_word(token) => {
                let mut path = vec![token.to_owned()];
                while tokens.get(at + 1) == Some(&"::") && tokens.get(at + 2).is_some_and(|next| is_word(next)) {
                    path.push(tokens[at + 2].to_owned());
                    at += 2;
                }
                found.words.insert(path[0].clone());
                if path.len() > 1 {
                    found.paths.extend(absolute(&path, &current, children));
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// A crate's files by module.
struct Crate {
    names: BTreeMap<Segments, Names>,
}

impl Crate {
    fn read(files: &BTreeMap<Segments, String>) -> Self {
        let read = |module: &Segments, code: &String| {
            let is_child = |other: &&Segments| other.len() == module.len() + 1 && other.starts_with(module);
            let children = files.keys().filter(is_child).filter_map(|child| child.last().cloned()).collect();
            (module.clone(), names(code, module, &children))
        };
        Self { names: files.iter().map(|(module, code)| read(module, code)).collect() }
    }

    /// The module whose file defines what a path leads to.
    fn home(&self, path: &[String], hops: usize) -> Segments {
        let length =
            (0..=path.len()).rev().find(|length| self.names.contains_key(&path[..*length])).unwrap_or_default();
        let (module, rest) = path.split_at(length);
        let imported = rest.first().and_then(|name| {
            let imports = &self.names.get(module)?.imports;
            imports.iter().find(|import| import.name == *name && import.path != path)
        });
        match imported {
            Some(import) if hops > 0 => self.home(&[&import.path, &rest[1..]].concat(), hops - 1),
            _ => module.to_vec(),
        }
    }

    /// The modules that a module's file depends on.
    fn dependencies(&self, module: &Segments) -> BTreeSet<Segments> {
        let names = &self.names[module];
        let used = names.imports.iter().filter(|import| !import.is_public || names.words.contains(&import.name));
        let paths = used.map(|import| &import.path).chain(&names.paths);
        paths.map(|path| self.home(path, 8)).filter(|home| home != module).collect()
    }

    /// Groups of modules of which each depends on each other, directly or not.
    fn circles(&self) -> Vec<Vec<String>> {
        let direct: BTreeMap<&Segments, BTreeSet<Segments>> =
            self.names.keys().map(|module| (module, self.dependencies(module))).collect();
        let reachable = |from: &Segments| {
            let mut reached = BTreeSet::new();
            let mut open: Vec<&Segments> = direct[from].iter().collect();
            while let Some(module) = open.pop() {
                if reached.insert(module) {
                    open.extend(&direct[module]);
                }
            }
            reached
        };
        let reached: BTreeMap<&Segments, BTreeSet<&Segments>> =
            self.names.keys().map(|module| (module, reachable(module))).collect();
        let mut circles = BTreeSet::new();
        for (module, after) in &reached {
            let circle: Vec<&Segments> =
                after.iter().copied().filter(|other| reached[other].contains(module)).collect();
            if circle.len() > 1 {
                circles.insert(circle);
            }
        }
        let arrows = |circle: &Vec<&Segments>| {
            let within = |module: &&Segments| {
                let others = direct[module].iter().filter(|other| circle.contains(other)).map(|other| name(other));
                format!("{} -> {}", name(module), others.collect::<Vec<_>>().join(", "))
            };
            circle.iter().map(within).collect()
        };
        circles.iter().map(arrows).collect()
    }
}

fn name(module: &[String]) -> String {
    if module.is_empty() { "the crate's root".to_owned() } else { module.join("::") }
}

/// The crates of the host with their code.
fn crates() -> BTreeMap<String, Crate> {
    let mut crates: BTreeMap<String, BTreeMap<Segments, String>> = BTreeMap::new();
    for (path, code) in host_code() {
        let Some((folder, file)) = path.split_once("/src/") else { continue };
        let mut module: Segments = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if module == ["main"] {
            continue;
        }
        if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
            module.pop();
        }
        crates.entry(folder.to_owned()).or_default().insert(module, code);
    }
    crates.iter().map(|(folder, files)| (folder.clone(), Crate::read(files))).collect()
}

#[test]
fn no_files_of_a_crate_depend_on_each_other_in_a_circle() {
    let crates = crates();
    assert!(crates.len() > 10, "the host has more crates than {:?}", crates.keys());
    let circles = crates.iter().flat_map(|(folder, known)| {
        let circles = known.circles().into_iter();
        circles.map(move |circle| format!("{folder}:\n    {}", circle.join("\n    ")))
    });
    let circles: Vec<String> = circles.collect();
    let advice = "move the shared items to a file that both import";
    assert!(circles.is_empty(), "{} circles; {advice}:\n{}", circles.len(), circles.join("\n"));
}

/// The circles among files, given as (module, code).
fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    let segments = |module: &str| module.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let files = files.iter().map(|(module, code)| (segments(module), (*code).to_owned())).collect();
    Crate::read(&files).circles().into_iter().map(|circle| circle.join("; ")).collect()
}

#[test]
fn circles_are_found_through_groups_parents_and_re_exports() {
    let none: [String; 0] = [];
    let grouped = [("", "mod a; mod b;"), ("a", "use crate::{b::{self, B}};"), ("b", "fn f() { crate::a::f(); }")];
    assert_eq!(circles_of(&grouped), ["a -> b; b -> a"]);
    let parent = [("a", "mod b; fn f() { b::g(); } struct A;"), ("a::b", "use super::A;")];
    assert_eq!(circles_of(&parent), ["a -> a::b; a::b -> a"]);
    let only_re_exports = [("a", "mod b; pub use b::B; struct A;"), ("a::b", "use super::A; struct B;")];
    assert_eq!(circles_of(&only_re_exports), none);
    let hidden = [
        ("a", "mod b; mod c; pub(crate) use b::B; pub(crate) use c::C;"),
        ("a::b", "use super::C; struct B;"),
        ("a::c", "use crate::a::B; struct C;"),
    ];
    assert_eq!(circles_of(&hidden), ["a::b -> a::c; a::c -> a::b"]);
    let inline = [("a", "mod b; mod inner { use super::A; } struct A;"), ("a::b", "use super::A as Other;")];
    assert_eq!(circles_of(&inline), none);
}
