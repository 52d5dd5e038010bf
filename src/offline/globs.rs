//! Which paths of a folder are wanted: patterns to include and exclude, and files of patterns.
//!
//! A pattern is a line of a `.gitignore`: without a slash it matches a name at any depth, with one a path from the top;
//! `**` crosses folders, a slash at the end means folders only. A pattern that matches a folder matches all in it.

use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// Patterns, as a person writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    /// Only files that match one of these are taken; with none, all are.
    pub include: Vec<String>,
    /// Files and folders that match one of these are left out, whatever else says.
    pub exclude: Vec<String>,
    /// Files with such patterns to exclude, one a line, `!` before one to take again what an earlier line excludes. They
    /// count from the top of the folder that is walked, wherever the files of patterns themselves lie.
    pub ignore_files: Vec<PathBuf>,
}

/// Why patterns cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// One is no pattern.
    #[error("{pattern:?} is no pattern")]
    Bad {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: ignore::Error,
    },
    /// One would match nothing.
    #[error("an empty pattern matches nothing; leave it out")]
    Empty,
    /// A file of patterns cannot be read, or one of its lines is no pattern.
    #[error("the file of patterns {path} cannot be used")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ignore::Error,
    },
}

/// Patterns made ready.
#[derive(Debug)]
pub struct Globs {
    include: Option<Gitignore>,
    exclude: Gitignore,
    ignored: Gitignore,
}

impl Globs {
    /// Makes patterns ready.
    ///
    /// # Errors
    /// [`PatternError`], which names the pattern.
    pub fn new(patterns: &Patterns) -> Result<Self, PatternError> {
        Ok(Self {
            include: if patterns.include.is_empty() {
                None
            } else {
                Some(compile(&patterns.include)?)
            },
            exclude: compile(&patterns.exclude)?,
            ignored: read(&patterns.ignore_files)?,
        })
    }

    /// Whether what lies at `path`, relative to the folder that is walked, is left out. Asked for each folder before what
    /// is in it.
    pub fn exclude(&self, path: &Path, is_folder: bool) -> bool {
        self.exclude.matched(path, is_folder).is_ignore()
            || self.ignored.matched(path, is_folder).is_ignore()
    }

    /// Whether the file at `path` is among those that were asked for.
    pub fn include(&self, path: &Path) -> bool {
        self.include
            .as_ref()
            .is_none_or(|include| include.matched_path_or_any_parents(path, false).is_ignore())
    }
}

fn compile(patterns: &[String]) -> Result<Gitignore, PatternError> {
    let mut builder = GitignoreBuilder::new("");
    builder.allow_unclosed_class(false);
    let mut bad = None;
    for pattern in patterns {
        if pattern.trim().is_empty() {
            return Err(PatternError::Empty);
        }
        // A comment or an exception would be strange in a single pattern: here both are names that begin so.
        let line = if pattern.starts_with(['#', '!']) {
            format!("\\{pattern}")
        } else {
            pattern.clone()
        };
        if let Err(source) = builder.add_line(None, &line) {
            bad.get_or_insert((pattern, source));
        }
    }
    let built = builder.build();
    match (bad, built) {
        (Some((pattern, source)), _) => Err(PatternError::Bad {
            pattern: pattern.clone(),
            source,
        }),
        (None, Err(source)) => Err(PatternError::Bad {
            pattern: patterns.join(" "),
            source,
        }),
        (None, Ok(built)) => Ok(built),
    }
}

fn read(files: &[PathBuf]) -> Result<Gitignore, PatternError> {
    let mut builder = GitignoreBuilder::new("");
    for path in files {
        if let Some(source) = builder.add(path) {
            return Err(PatternError::File {
                path: path.clone(),
                source,
            });
        }
    }
    builder.build().map_err(|source| PatternError::File {
        path: files.last().cloned().unwrap_or_default(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(include: &[&str], exclude: &[&str]) -> Globs {
        let owned = |patterns: &[&str]| patterns.iter().map(|one| (*one).to_owned()).collect();
        Globs::new(&Patterns {
            include: owned(include),
            exclude: owned(exclude),
            ignore_files: Vec::new(),
        })
        .unwrap()
    }

    #[test]
    fn a_name_matches_at_any_depth_and_a_path_from_the_top() {
        let globs = globs(&[], &["*.tmp", "docs/draft*", "/top", "build/"]);
        for (path, is_folder, is_excluded) in [
            ("a.tmp", false, true),
            ("x/y/a.tmp", false, true),
            ("docs/draft1", false, true),
            ("x/docs/draft1", false, false),
            ("top", false, true),
            ("x/top", false, false),
            ("x/build", true, true),
            ("x/build", false, false),
        ] {
            assert_eq!(
                globs.exclude(Path::new(path), is_folder),
                is_excluded,
                "{path}"
            );
        }
    }

    #[test]
    fn to_include_a_folder_is_to_include_all_in_it() {
        let globs = globs(&["*.iso", "docs"], &[]);
        for (path, is_included) in [
            ("a.iso", true),
            ("x/a.iso", true),
            ("docs/a/b.txt", true),
            ("x/docs/b.txt", true),
            ("b.txt", false),
        ] {
            assert_eq!(globs.include(Path::new(path)), is_included, "{path}");
        }
    }

    #[test]
    fn a_pattern_may_begin_like_a_comment_or_an_exception() {
        let globs = globs(&[], &["#1", "!important"]);
        assert!(globs.exclude(Path::new("#1"), false));
        assert!(globs.exclude(Path::new("!important"), false));
    }

    #[test]
    fn files_of_patterns_have_comments_and_exceptions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules");
        std::fs::write(&path, "# logs\n*.log\n!keep.log\n").unwrap();
        let globs = Globs::new(&Patterns {
            ignore_files: vec![path],
            ..Patterns::default()
        })
        .unwrap();
        assert!(globs.exclude(Path::new("x/a.log"), false));
        assert!(!globs.exclude(Path::new("x/keep.log"), false));
    }

    #[test]
    fn bad_patterns_are_named() {
        for pattern in ["[a", "a{b", "  "] {
            let patterns = Patterns {
                exclude: vec!["*.ok".to_owned(), pattern.to_owned()],
                ..Patterns::default()
            };
            let error = Globs::new(&patterns).unwrap_err().to_string();
            assert!(error.contains(pattern.trim()), "{error}");
        }
        let absent = Patterns {
            ignore_files: vec![PathBuf::from("/absent/rules")],
            ..Patterns::default()
        };
        let error = Globs::new(&absent).unwrap_err().to_string();
        assert!(error.contains("/absent/rules"), "{error}");
    }
}
