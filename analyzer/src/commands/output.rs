//! Writing where the user said: failures are told with the name of the place.

use anyhow::bail;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file or stream whose errors bear its name.
pub(super) struct Named<W> {
    to: W,
    name: String,
    /// The first failure: writers of formats tell it in words of their own, or not at all.
    failed: Option<(io::ErrorKind, String)>,
}

impl Named<File> {
    /// A file that is made, or emptied if it is there.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let name = path.display().to_string();
        match File::create(path) {
            Ok(to) => Ok(Self { to, name, failed: None }),
            Err(e) => Err(named(&name, &e)),
        }
    }
}

impl Named<Later> {
    /// The same, with the first bytes that come to it.
    pub(super) fn later(path: &Path) -> Self {
        Self { to: Later { path: path.to_path_buf(), file: None }, name: path.display().to_string(), failed: None }
    }
}

/// A file that is made when something is written to it: to empty a long one takes the system as long as a thousand rows take, which
/// other threads can make meanwhile.
pub(super) struct Later {
    path: PathBuf,
    file: Option<File>,
}

impl Later {
    fn file(&mut self) -> io::Result<&mut File> {
        Ok(match &mut self.file {
            Some(file) => file,
            none => none.insert(File::create(&self.path)?),
        })
    }
}

impl Write for Later {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file()?.flush()
    }
}

impl Named<io::Stdout> {
    /// Standard output.
    pub(super) fn stdout() -> Self {
        Self { to: io::stdout(), name: "to standard output".to_owned(), failed: None }
    }
}

fn named(name: &str, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("cannot write {name}: {e}"))
}

impl<W: Write> Named<W> {
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|e| {
            let e = named(&self.name, &e);
            self.failed.get_or_insert_with(|| (e.kind(), e.to_string()));
            e
        })
    }

    /// What was written into it: flushed, or why it could not be written, as the system says it.
    pub(super) fn end<T>(mut file: BufWriter<Self>, result: anyhow::Result<T>) -> anyhow::Result<T> {
        let result = result.and_then(|done| Ok(file.flush().map(|()| done)?));
        match (result, file.into_parts().0.failed) {
            (Err(_), Some((kind, why))) => Err(io::Error::new(kind, why).into()),
            (result, _) => result,
        }
    }
}

impl<W: Write> Write for Named<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes);
        self.note(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.to.flush();
        self.note(flushed)
    }
}

/// A folder for results. It is made before the work begins, for nobody wants to hear of a wrong name after it, and taken away
/// again if nothing came of that.
pub(super) struct Folder {
    path: PathBuf,
    /// The outermost folder that was made for it.
    made: Option<PathBuf>,
}

impl Folder {
    /// Makes the folder, and sees whether it can be written to.
    pub(super) fn new(path: &Path) -> anyhow::Result<Self> {
        let missing = path.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists());
        let made = missing.last().map(Path::to_path_buf);
        if let Some(file) = path.ancestors().find(|p| p.exists()).filter(|p| !p.is_dir()) {
            bail!(
                "cannot write to {}: {} is no folder; give another one with --output",
                path.display(),
                file.display()
            );
        }
        let folder = Self { path: path.to_path_buf(), made };
        let probe = path.join(".hindsight-probe");
        let tried = fs::create_dir_all(path).and_then(|()| File::create(&probe)).and_then(|_| fs::remove_file(&probe));
        match tried {
            Ok(()) => Ok(folder),
            Err(e) => bail!("cannot write to {}: {e}; give another folder with --output", path.display()),
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Folders that are not empty stay.
        if let Some(made) = &self.made {
            for folder in self.path.ancestors().take_while(|p| p.starts_with(made)) {
                if fs::remove_dir(folder).is_err() {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_results_is_taken_away_again() {
        let place = tempfile::tempdir().unwrap();
        let inner = place.path().join("a/b");
        drop(Folder::new(&inner).unwrap());
        assert!(!place.path().join("a").exists());
        let folder = Folder::new(&inner).unwrap();
        fs::write(folder.path().join("report.html"), "x").unwrap();
        drop(folder);
        assert!(inner.join("report.html").exists());
        // One that was there stays, empty or not.
        let old = place.path().join("old");
        fs::create_dir(&old).unwrap();
        drop(Folder::new(&old).unwrap());
        assert!(old.exists());
    }

    #[test]
    fn a_file_is_no_folder() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "x").unwrap();
        for path in [file.clone(), file.join("deeper/still")] {
            let e = Folder::new(&path).err().unwrap().to_string();
            assert!(e.contains("file is no folder; give another one with --output"), "{e}");
        }
    }
}
