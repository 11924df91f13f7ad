//! Whether files have changed.
//!
//! Files are looked at from time to time, by name: editors and deployment tools replace files and the directories that
//! links lead through, which those who wait for events on a file, or on a directory, do not all hear of. A look costs
//! one call of the system for each file.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Some files, as they were last seen.
#[derive(Debug)]
pub struct Watch {
    files: Vec<(PathBuf, Option<Stamp>)>,
    /// A change was seen, and it is waited for the next look without one.
    unsettled: bool,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    file: u64,
    size: u64,
    modified: Option<SystemTime>,
    /// Whose it is, and who may read it: one that could not be read may be read now.
    rights: (u32, u32, u32),
}

impl Watch {
    /// Watches files, which need not exist, as they are now.
    #[must_use]
    pub fn new(files: Vec<PathBuf>) -> Self {
        let mut watch = Self { files: Vec::new(), unsettled: false };
        watch.follow(files);
        watch
    }

    /// Watches these files and no others. Those that were watched before are compared with what they were, so that a
    /// change since the last look is not missed.
    pub fn follow(&mut self, mut files: Vec<PathBuf>) {
        files.sort_unstable();
        files.dedup();
        let before = std::mem::take(&mut self.files);
        let seen = |file: &PathBuf| before.iter().find(|(known, _)| known == file).map(|(_, stamp)| *stamp);
        self.files = files
            .into_iter()
            .map(|file| {
                let stamp = seen(&file).unwrap_or_else(|| stamp(&file));
                (file, stamp)
            })
            .collect();
    }

    /// Looks at the files. True when one of them has changed since it was last found so and none has since the look
    /// before this one, so that a file is not read while it is written.
    pub fn has_changed(&mut self) -> bool {
        let mut changing = false;
        for (file, seen) in &mut self.files {
            let now = stamp(file);
            changing |= now != *seen;
            *seen = now;
        }
        let settled = self.unsettled && !changing;
        self.unsettled = changing;
        settled
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let about = std::fs::metadata(file).ok()?;
    Some(Stamp {
        device: about.dev(),
        file: about.ino(),
        size: about.size(),
        modified: about.modified().ok(),
        rights: (about.mode(), about.uid(), about.gid()),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_change_is_told_once_and_when_it_has_settled() {
        let directory = tempfile::tempdir().unwrap();
        let (file, other) = (directory.path().join("rendis.toml"), directory.path().join("new.toml"));
        fs::write(&file, "one").unwrap();
        let mut watch = Watch::new(vec![file.clone(), directory.path().join("missing")]);
        assert!(!watch.has_changed());
        fs::write(&file, "longer").unwrap();
        assert!(!watch.has_changed());
        fs::write(&file, "longer still").unwrap();
        assert!(!watch.has_changed());
        assert!(watch.has_changed());
        assert!(!watch.has_changed());
        // As editors do it: another file, of the same size.
        fs::write(&other, "longer STILL").unwrap();
        fs::rename(&other, &file).unwrap();
        assert!(!watch.has_changed());
        assert!(watch.has_changed());
        fs::write(directory.path().join("missing"), "now there").unwrap();
        assert!(!watch.has_changed());
        assert!(watch.has_changed());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(!watch.has_changed());
        assert!(watch.has_changed());
    }
}
