//! Checks the language of documents and comments: a sentence begins with a noun or a verb, not with "what" or "who".

use super::sources::files;

/// Where prose stands: documents, and the comments of sources.
const EXTENSIONS: [&str; 9] = ["rs", "md", "wit", "toml", "py", "js", "go", "c", "h"];

/// Beginnings of a sentence that do not name their subject.
const BEGINNINGS: [&str; 5] = ["What ", "Who ", "Whoever ", "One that ", "Those that "];

/// An old form of "`None` if …".
const NONE: &str = "; none:";

/// Files with text of others, by the beginning of their path, and the reason for each.
const EXCEPTIONS: [(&str, &str); 3] = [
    ("examples/policies/go/pkg/", "written by a code generator"),
    ("tests/src/hostile/http.wit", "an excerpt of the WASI interfaces"),
    ("tests/tests/documents/language.rs", "names the words it searches for"),
];

/// The prose of a line: a comment's text, or a line of a document. `None` if the line has neither.
fn prose<'a>(path: &str, line: &'a str) -> Option<&'a str> {
    let line = line.trim_start();
    let markers: &[&str] = match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "md" => return Some(line.trim_start_matches(['-', '*', '|', '>', '#', ' '])),
        "toml" | "py" => &["#", "\"\"\""],
        _ => &["///", "//!", "//", "/**", "/*", "*"],
    };
    let whole = markers.iter().find_map(|marker| line.strip_prefix(marker));
    // A comment after code.
    let trailing = || markers.iter().find_map(|marker| line.split_once(&format!(" {marker} ")).map(|(_, text)| text));
    whole.or_else(trailing).map(str::trim_start)
}

/// Whether prose begins with a word that does not name its subject. A question may.
fn begins_without_a_subject(prose: &str) -> bool {
    let sentence = prose.split_inclusive(['.', '?', '!']).next().unwrap_or_default();
    BEGINNINGS.iter().any(|beginning| prose.starts_with(beginning)) && !sentence.ends_with('?')
}

/// The lines of a file that need another wording.
fn offenders(path: &str, text: &str) -> Vec<String> {
    let mut is_fenced = false;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if path.ends_with(".md") && line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        }
        let has_no_subject = !is_fenced && prose(path, line).is_some_and(begins_without_a_subject);
        if has_no_subject || line.contains(NONE) {
            found.push(format!("{path}:{}: {}", number + 1, line.trim()));
        }
    }
    found
}

#[test]
fn sentences_name_their_subject() {
    let files = files(&["."], &EXTENSIONS);
    assert!(files.len() > 200, "only {} files", files.len());
    let is_ours = |path: &str| EXCEPTIONS.iter().all(|(other, _)| !path.starts_with(other));
    let found: Vec<String> =
        files.iter().filter(|(path, _)| is_ours(path)).flat_map(|(path, text)| offenders(path, text)).collect();
    let advice = "begin with the noun or the verb, and write \"`None` if …\" for \"; none:\"";
    assert!(found.is_empty(), "{} lines; {advice}:\n{}", found.len(), found.join("\n"));
}

#[test]
fn each_kind_of_comment_is_read() {
    let caught = [
        ("a.rs", "/// What a policy is shown."),
        ("a.rs", "//! Who goes first."),
        ("a.rs", "    // Whoever asks."),
        ("a.rs", "let a = 1; // One that waits."),
        ("a.rs", "/// The policy's input; none: it has no preference."),
        ("a.md", "- Those that wait."),
        ("a.md", "| What | is |"),
        ("a.toml", "# What calls of policies look at."),
        ("a.wit", "/// What would change it."),
        ("a.py", "\"\"\"Who is asked.\"\"\""),
        ("a.c", " * What it returns."),
        ("a.go", "// Who calls it."),
    ];
    for (path, line) in caught {
        assert_eq!(offenders(path, line).len(), 1, "{path}: {line}");
    }
    let passed = [
        ("a.rs", "let text = \"What is it\";"),
        ("a.rs", "/// The replicas that wait."),
        ("a.rs", "// Who may call? Everyone."),
        ("a.md", "```sh\n# What is asked\n```"),
        ("a.md", "Whatever happens, the count stays."),
    ];
    for (path, text) in passed {
        assert!(offenders(path, text).is_empty(), "{path}: {text}");
    }
}
