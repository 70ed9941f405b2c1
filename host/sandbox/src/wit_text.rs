//! The contract with policies as text: `wit/` in one file, as it is published.

use std::fmt::Write as _;

/// One interface per file, each after those that it uses.
const PARTS: [&str; 8] = [
    include_str!("../../../wit/types.wit"),
    include_str!("../../../wit/log.wit"),
    include_str!("../../../wit/readiness.wit"),
    include_str!("../../../wit/manifest.wit"),
    include_str!("../../../wit/scaling.wit"),
    include_str!("../../../wit/protection.wit"),
    include_str!("../../../wit/health.wit"),
    include_str!("../../../wit/world.wit"),
];

/// The package `windlass:policy` with its comments.
pub fn text() -> String {
    let mut text = String::new();
    for part in PARTS {
        // Each file names the package; one line of them is enough.
        let (package, interfaces) = part.split_once('\n').unwrap_or((part, ""));
        if text.is_empty() {
            let _ = writeln!(text, "{package}");
        }
        text.push_str(interfaces);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;
    use wit_component::WitPrinter;
    use wit_parser::{PackageId, Resolve};

    /// Each interface and world with its comments, in no order.
    fn printed(resolve: &Resolve, package: PackageId) -> BTreeSet<String> {
        let mut printer = WitPrinter::default();
        printer.print(resolve, package, &[]).expect("it can be printed");
        printer.output.to_string().split_inclusive("\n}\n").map(|block| block.trim().to_owned()).collect()
    }

    /// Published names and types never change: `wit/README.md` lists what may.
    #[test]
    fn the_names_and_types_of_0_1_are_as_they_were_published() {
        // Added later, which is allowed: optional to import.
        let added = ["interface readiness {", "world readiness-scaling-policy {"];
        let text = super::text();
        let code = text.lines().map(|line| line.split("//").next().unwrap_or_default().trim());
        let mut is_added = false;
        let published = code.filter(|line| {
            is_added |= added.contains(line);
            let is_kept = !is_added && !line.is_empty();
            is_added &= *line != "}";
            is_kept
        });
        let published: Vec<&str> = published.collect();
        let digest = crate::component::digest(published.join("\n").as_bytes());
        assert_eq!(digest, "70d02ecbcfd557de98fc5177dbb6f9da1e6267a5c4c64144f9a4e7160f05efca");
    }

    #[test]
    fn the_text_is_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
        let mut from_folder = Resolve::default();
        let (package, _) = from_folder.push_dir(&folder).expect("the folder is a package");
        let mut from_text = Resolve::default();
        let text = from_text.push_str("windlass-policy.wit", &text()).expect("the text is a package");
        // The package's own line stands before whichever comes first.
        let without_package = |blocks: BTreeSet<String>| -> BTreeSet<String> {
            blocks.iter().map(|block| block.replace("package windlass:policy@0.1.0;\n\n", "")).collect()
        };
        let (text, folder) = (printed(&from_text, text), printed(&from_folder, package));
        assert_eq!((text.len(), without_package(text)), (11, without_package(folder)));
        // Comments too.
        assert!(super::text().contains("/// Milliseconds since the Unix epoch, by the host's clock."));
        assert_eq!(super::text().matches("package ").count(), 1);
    }
}
