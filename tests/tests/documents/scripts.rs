//! The scripts and styles of the repository are its own. A browser gets those of others from one crate only.

use super::sources::{files, root, without_tests};
use std::collections::BTreeSet;
use std::fs;

/// Extensions of files that a browser or a JavaScript engine runs or renders.
const EXTENSIONS: [&str; 12] = ["js", "mjs", "cjs", "jsx", "ts", "tsx", "map", "css", "html", "htm", "vue", "svelte"];

/// Every file with one of them, with its purpose.
const OURS: [(&str, &str); 6] = [
    ("host/page/assets/page.js", "the script of the page"),
    ("host/page/assets/page.css", "the style of the page"),
    ("tests/tests/simulated/page/checks.js", "checks of tests within a page"),
    ("examples/policies/javascript/policy.js", "an example policy"),
    ("examples/policies/javascript/rule.js", "an example policy"),
    ("examples/policies/javascript/rule.test.js", "an example policy"),
];

/// The file that the build of an example writes. The repository ignores it.
const BUILT: &str = "examples/policies/javascript/bundle.js";

/// The crate with the page at `/docs`, the one exception. `Cargo.lock` has its version and checksum.
const EXCEPTION: &str = "utoipa-swagger-ui";

#[test]
fn no_script_or_style_of_others_is_in_the_tree() {
    let found: BTreeSet<String> = files(&["."], &EXTENSIONS).into_iter().map(|(path, _)| path).collect();
    let found: BTreeSet<&str> =
        found.iter().map(|path| path.trim_start_matches("./")).filter(|path| *path != BUILT).collect();
    let ignored = fs::read_to_string(root().join("examples/policies/javascript/.gitignore")).expect("a text");
    assert!(ignored.lines().any(|line| line == "/bundle.js"), "{BUILT} would become a part of the repository");
    assert_eq!(found, OURS.iter().map(|(path, _)| *path).collect(), "a file of others, or one that is gone");
    let of_page = files(&["host/page/assets", "host/page/src"], &["js", "css", "svg", "rs"]);
    for (path, text) in of_page {
        for elsewhere in ["http://", "https://", "//cdn", "@import", "url(", "eval(", "new Function", "import("] {
            // An SVG names its language.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(path.ends_with(".rs") || !text.contains(elsewhere), "{path} contains {elsewhere}");
        }
        let writes = without_tests(&text).contains("script src") || without_tests(&text).contains("<script");
        assert_eq!(writes, path == "host/page/src/layout.rs", "{path}: one place writes the one script");
    }
}

#[test]
fn one_crate_brings_the_scripts_of_others_and_the_documents_name_it() {
    let read = |name: &str| fs::read_to_string(root().join(name)).expect("a text");
    let lock = read("Cargo.lock");
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    let with_pages: BTreeSet<&str> = names
        .filter(|name| {
            ["swagger", "redoc", "rapidoc", "scalar", "htmx", "embed"].iter().any(|word| name.contains(word))
        })
        .collect();
    let expected = [EXCEPTION, "utoipa-swagger-ui-vendored", "embedded-io"];
    assert!(with_pages.is_subset(&expected.into()) && with_pages.contains(EXCEPTION), "{with_pages:?}");
    for document in ["ARCHITECTURE.md", "MANUAL.md"] {
        assert!(read(document).contains(&format!("`{EXCEPTION}`")), "{document} does not name the exception");
    }
}
