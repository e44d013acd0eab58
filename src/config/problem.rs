//! What is wrong with a configuration, and where it is written.
//!
//! Refuses: stopping at the first mistake. Readers note a problem and go on; whoever asked gets all of them at once.

use std::cell::RefCell;
use std::fmt;

/// Whether a configuration with this problem can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Error,
    Warning,
}

/// A place in a file, both counted from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl Position {
    /// The first character of a file.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// One mistake or doubt. Shown as `FILE:LINE:COLUMN: message`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Relative to how the configuration file was given.
    pub file: Box<str>,
    /// 0: the file as a whole, because it could not be read.
    pub line: usize,
    pub column: usize,
    /// Quotes the offending text as written and says what to write instead. Holds no secret.
    pub message: String,
    pub severity: Severity,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line != 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        f.write_str(match self.severity {
            Severity::Error => ": ",
            Severity::Warning => ": warning: ",
        })?;
        f.write_str(&self.message)
    }
}

/// Every problem found so far, each with the rank of its file.
#[derive(Debug, Default)]
pub struct Problems {
    files: RefCell<Vec<Box<str>>>,
    found: RefCell<Vec<(usize, Problem)>>,
}

impl Problems {
    /// Gives `name` the next rank. A file asked for again keeps the rank it has.
    pub fn rank(&self, name: &str) -> usize {
        let mut files = self.files.borrow_mut();
        files.iter().position(|known| **known == *name).unwrap_or_else(|| {
            files.push(name.into());
            files.len() - 1
        })
    }

    /// The name of the file of this rank.
    pub fn name(&self, rank: usize) -> Box<str> {
        self.files.borrow()[rank].clone()
    }

    /// Notes a problem; `None` means the file as a whole.
    pub fn note(&self, rank: usize, at: Option<Position>, severity: Severity, message: String) {
        let (line, column) = at.map_or((0, 0), |at| (at.line, at.column));
        self.found.borrow_mut().push((rank, Problem { file: self.name(rank), line, column, message, severity }));
    }

    /// Whether anything found makes the configuration unusable.
    pub fn any_error(&self) -> bool {
        self.found.borrow().iter().any(|(_, problem)| problem.severity == Severity::Error)
    }

    /// Whether an error was found in the file of this rank.
    pub fn any_error_in(&self, rank: usize) -> bool {
        self.found.borrow().iter().any(|(at, problem)| *at == rank && problem.severity == Severity::Error)
    }

    /// All of them, in the order of file and place, each once.
    pub fn into_sorted(self) -> Vec<Problem> {
        let mut found = self.found.into_inner();
        found.sort_by(|(rank_a, a), (rank_b, b)| {
            (rank_a, a.line, a.column, a.severity).cmp(&(rank_b, b.line, b.column, b.severity))
        });
        // A node that an alias repeats is read, and found wrong, more than once.
        let mut seen = std::collections::HashSet::new();
        found.retain(|(_, problem)| seen.insert(problem.clone()));
        found.into_iter().map(|(_, problem)| problem).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_come_in_the_order_of_file_and_place() {
        let problems = Problems::default();
        let (first, second) = (problems.rank("z.yaml"), problems.rank("a.yaml"));
        let at = |line, column| Some(Position { line, column });
        problems.note(second, at(1, 1), Severity::Warning, "last".into());
        problems.note(first, at(9, 1), Severity::Error, "third".into());
        problems.note(first, at(2, 5), Severity::Error, "second".into());
        problems.note(first, at(2, 5), Severity::Error, "second".into());
        problems.note(first, None, Severity::Error, "first".into());
        assert!(problems.any_error());
        assert_eq!(
            problems.into_sorted().iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["z.yaml: first", "z.yaml:2:5: second", "z.yaml:9:1: third", "a.yaml:1:1: warning: last"]
        );
    }
}
