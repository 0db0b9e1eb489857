//! Files of `src/` import each other in one direction only.
//!
//! The check follows `use` declarations and inline paths, through re-exports, to the file that
//! defines the name. A module and its own parts may use each other, because a part often contains
//! some of its module's methods.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::sources::{is_word, root, served_code, sources};

/// A path from the crate's root, such as `["store", "rows"]`.
type Module = Vec<String>;

/// A file as a module.
struct File {
    module: Module,
    code: String,
    /// The names that it re-exports, and their origins.
    exports: BTreeMap<String, Module>,
}

/// The files, by module.
struct Files(BTreeMap<Module, File>);

fn module_of(file: &Path) -> Module {
    let inside = file.strip_prefix(root().join("src")).unwrap().with_extension("");
    let mut parts: Module = inside.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
        parts.pop();
    }
    parts
}

impl Files {
    fn read() -> Self {
        let read = |path: PathBuf| {
            let (module, code) = (module_of(&path), served_code(&path).join("\n"));
            (module.clone(), File { module, code, exports: BTreeMap::new() })
        };
        // The binary is a crate of its own.
        let all = sources(&root().join("src")).into_iter();
        let mut files = Self(all.filter(|path| !path.ends_with("src/main.rs")).map(read).collect());
        let modules: Vec<Module> = files.0.keys().cloned().collect();
        for module in modules {
            let file = &files.0[&module];
            let public = uses(&file.code).into_iter().filter(|(is_public, _)| *is_public);
            let exports = public.flat_map(|(_, tree)| expand(&tree)).map(|(path, name)| {
                let path = files.absolute(&module, &path);
                (name, path)
            });
            let exports = exports.collect();
            files.0.get_mut(&module).unwrap().exports = exports;
        }
        files
    }

    /// Makes a path in a module absolute, from the crate's root. Returns an empty path if it leads
    /// to another crate.
    fn absolute(&self, module: &Module, path: &[String]) -> Module {
        let mut at = match path.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self" | "super") => module.clone(),
            Some(first) => {
                let mut child = module.clone();
                child.push(first.to_owned());
                if !self.0.contains_key(&child) {
                    return Vec::new();
                }
                module.clone()
            }
            None => return Vec::new(),
        };
        for part in path {
            match part.as_str() {
                "crate" | "self" => {}
                "super" => drop(at.pop()),
                part => at.push(part.to_owned()),
            }
        }
        at
    }

    /// Returns the file that defines the name at a path from the crate's root.
    fn definition(&self, path: &[String], depth: usize) -> Option<&File> {
        assert!(depth < 20, "re-exports that lead nowhere: {path:?}");
        let end = (0..=path.len()).rev().find(|end| self.0.contains_key(&path[..*end]))?;
        let file = &self.0[&path[..end]];
        match path.get(end).and_then(|name| file.exports.get(name)) {
            Some(from) if !from.is_empty() => {
                let onwards: Module = from.iter().chain(&path[end + 1..]).cloned().collect();
                self.definition(&onwards, depth + 1)
            }
            _ => Some(file),
        }
    }

    /// Returns the files that a file uses.
    fn needs(&self, file: &File) -> BTreeSet<Module> {
        let private = uses(&file.code).into_iter().filter(|(is_public, _)| !is_public);
        let mut paths: Vec<Module> =
            private.flat_map(|(_, tree)| expand(&tree)).map(|(path, _)| path).collect();
        paths.extend(inline_paths(&file.code));
        let found = paths.iter().filter_map(|path| {
            let path = self.absolute(&file.module, path);
            if path.is_empty() { None } else { self.definition(&path, 0) }
        });
        found.map(|needed| needed.module.clone()).filter(|needed| *needed != file.module).collect()
    }
}

/// Returns the `use` declarations of a text, and whether each is public.
fn uses(code: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let line = rest[..at].rsplit('\n').next().unwrap_or_default().trim();
        let begins = line.is_empty() || line.starts_with("pub");
        let after = &rest[at + "use ".len()..];
        let end = after.find(';').unwrap_or(after.len());
        if begins {
            found.push((!line.is_empty(), after[..end].split_whitespace().collect()));
        }
        rest = &after[if begins { end } else { 0 }..];
    }
    found
}

/// Returns the paths of a tree such as `a::{b, c::{self, D as E}}`, with the name of each.
fn expand(tree: &str) -> Vec<(Module, String)> {
    let Some((head, inside)) = tree.split_once('{') else {
        // White space was removed: `D as E` is `DasE`. This repository uses `as` only with `_`.
        let tree = tree.strip_suffix("as_").unwrap_or(tree);
        let path: Module = tree.split("::").map(str::to_owned).collect();
        let name = path.last().cloned().unwrap_or_default();
        return vec![(path, name)];
    };
    let inside = inside.strip_suffix('}').unwrap_or(inside);
    let (mut depth, mut from, mut parts) = (0, 0, Vec::new());
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inside[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[from..]);
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    parts.flat_map(|part| expand(&format!("{head}{part}"))).map(without_self).collect()
}

/// Replaces `a::self` by `a`.
fn without_self((mut path, mut name): (Module, String)) -> (Module, String) {
    if path.len() > 1 && name == "self" {
        path.pop();
        name = path.last().cloned().unwrap_or_default();
    }
    (path, name)
}

/// Returns paths outside of `use` declarations, such as `super::rows::read`.
fn inline_paths(code: &str) -> Vec<Module> {
    let statements = code.split(';').filter(|part| !part.contains("use "));
    let texts = statements.flat_map(|text| text.split(|c: char| !is_word(c) && c != ':'));
    let paths = texts.filter(|text| text.contains("::")).map(|text| {
        text.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect::<Module>()
    });
    paths.filter(|path| path.len() > 1).collect()
}

/// Returns the circles, each once.
fn circles(needs: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<Vec<Module>> {
    let reach = |from: &Module| {
        let (mut seen, mut todo) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(at) = todo.pop() {
            for next in needs.get(&at).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    todo.push(next.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<_, _> = needs.keys().map(|module| (module, reach(module))).collect();
    let mut found = BTreeSet::new();
    for (module, all) in &reached {
        if all.contains(*module) {
            let mutual = all
                .iter()
                .filter(|other| reached.get(other).is_some_and(|back| back.contains(*module)));
            found.insert(mutual.cloned().collect::<Vec<_>>());
        }
    }
    found.into_iter().collect()
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let files = Files::read();
    let others = |file: &File| {
        let needed = files.needs(file).into_iter();
        let is_apart =
            |other: &Module| !other.starts_with(&file.module) && !file.module.starts_with(other);
        needed.filter(is_apart).collect::<BTreeSet<_>>()
    };
    let needs: BTreeMap<_, _> =
        files.0.iter().map(|(module, file)| (module.clone(), others(file))).collect();
    let count = needs.values().map(BTreeSet::len).sum::<usize>();
    assert!(count > 300, "only {count} imports are read");
    let found = circles(&needs).into_iter();
    let told: Vec<Vec<String>> =
        found.map(|circle| circle.iter().map(|module| module.join("::")).collect()).collect();
    let told: Vec<String> = told.iter().map(|circle| circle.join(" ")).collect();
    assert!(told.is_empty(), "files that import each other: {told:#?}");
}

#[test]
fn trees_of_imports_are_read() {
    let told = |tree: &str| {
        let all = expand(&tree.split_whitespace().collect::<String>()).into_iter();
        all.map(|(path, name)| format!("{} {name}", path.join("::"))).collect::<Vec<_>>()
    };
    assert_eq!(told("super::a"), ["super::a a"]);
    assert_eq!(
        told("crate::a::{self, b::{C, D}, E as _,}"),
        ["crate::a a", "crate::a::b::C C", "crate::a::b::D D", "crate::a::E E"]
    );
    let code = "pub use a::B;\nfn f() {\n    use super::c;\n}\n// the\nlet x = because;";
    assert_eq!(uses(code), [(true, "a::B".into()), (false, "super::c".into())]);
    let two = BTreeMap::from([
        (vec!["a".to_owned()], BTreeSet::from([vec!["b".to_owned()]])),
        (vec!["b".to_owned()], BTreeSet::from([vec!["a".to_owned()]])),
        (vec!["c".to_owned()], BTreeSet::from([vec!["a".to_owned()]])),
    ]);
    assert_eq!(circles(&two), [[vec!["a".to_owned()], vec!["b".to_owned()]]]);
}
