//! The files of a store, by path below its directory.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::script::Left;

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

pub(crate) fn golden(left: Left) -> PathBuf {
    let name = format!("{left:?}").to_lowercase();
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name)
}

pub(crate) fn load(left: Left) -> Files {
    let root = golden(left);
    let mut files = Files::new();
    for part in ["", "segments", "state"] {
        let dir = root.join(part);
        for item in fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        {
            let path = item.unwrap().path();
            if path.is_file() {
                let name = path.strip_prefix(&root).unwrap();
                let name = name.iter().map(|part| part.to_str().unwrap()).collect::<Vec<_>>();
                files.insert(name.join("/"), fs::read(&path).unwrap());
            }
        }
    }
    files
}

pub(crate) fn write(root: &Path, files: &Files) {
    for part in ["segments", "state"] {
        let dir = root.join(part);
        if dir.exists() {
            fs::remove_dir_all(&dir).unwrap();
        }
        fs::create_dir_all(dir).unwrap();
    }
    for (path, bytes) in files {
        fs::write(root.join(path), bytes).unwrap();
    }
}
