//! Verifying the files of the state: every block, every entry.

use super::{Problem, Verification};
use crate::storage::file::{
    directory::Directory,
    state::{self, Run},
    survey::{Gap, Survey},
};

impl Verification {
    pub(super) fn runs(&mut self, dir: &Directory, survey: &Survey, progress: &mut dyn FnMut(u64)) {
        let runs = survey.manifest.iter().flat_map(|manifest| &manifest.runs);
        let mut done = 0_u64;
        for entry in runs {
            let path = dir.run(entry.id);
            match Run::open(&*dir.disk, path.clone(), &survey.store, *entry) {
                Ok(run) => state::inspect(&run, &mut |block| {
                    progress(done.saturating_add(block.bytes.end));
                    self.entries += block.entries;
                    let fault = block.fault.map(|reason| Gap::of_file(&path, reason));
                    self.problems.extend(fault.map(|fault| Problem::of(fault.at(block.bytes))));
                }),
                Err(error) => {
                    let gap = Gap::of_run(&path, &error).at(0..entry.len);
                    self.problems.push(Problem::of(gap));
                }
            }
            done = done.saturating_add(entry.len);
        }
    }
}
