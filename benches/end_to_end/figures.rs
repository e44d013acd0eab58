//! Figures as a person reads them: rounds in turn, and one table of minimum, median and maximum.
//!
//! Refuses: averages, which hide what one lucky or unlucky round did; and judging: a missed target is shown, no error.

use std::fmt;

/// What a median is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn is_met(self, median: f64) -> bool {
        match self {
            Self::AtLeast(bound) => bound <= median,
            Self::AtMost(bound) => median <= bound,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = match self {
            Self::AtLeast(bound) => format!(">= {bound}"),
            Self::AtMost(bound) => format!("<= {bound}"),
        };
        f.pad(&told)
    }
}

struct Row {
    figure: String,
    /// Sorted.
    values: Vec<f64>,
    digits: usize,
    target: Option<Target>,
}

impl Row {
    fn median(&self) -> f64 {
        f64::midpoint(self.values[(self.values.len() - 1) / 2], self.values[self.values.len() / 2])
    }
}

/// All that was found, scenario by scenario.
#[derive(Default)]
pub struct Table {
    sections: Vec<(&'static str, Vec<Row>)>,
    failures: Vec<String>,
}

impl Table {
    pub fn begin(&mut self, section: &'static str) {
        println!("\n== {section}");
        self.sections.push((section, Vec::new()));
    }

    /// A figure with one value a round. Of none there is no row.
    pub fn row(&mut self, figure: impl Into<String>, digits: usize, values: Vec<f64>, target: Option<Target>) {
        let mut values = values;
        values.retain(|value| value.is_finite());
        values.sort_by(f64::total_cmp);
        let Some((_, rows)) = self.sections.last_mut() else { return };
        if !values.is_empty() {
            rows.push(Row { figure: figure.into(), values, digits, target });
        }
    }

    /// Something was lost, or did not run.
    pub fn fail(&mut self, error: &anyhow::Error) {
        let section = self.sections.last().map_or("", |(section, _)| section);
        let told = format!("{section}: {error:#}");
        println!("FAILED {told}");
        self.failures.push(told);
    }

    pub fn is_whole(&self) -> bool {
        self.failures.is_empty()
    }

    /// So many rounds, all parties in each; who goes first changes, so that none always finds the warmer machine. A party
    /// that fails is reported and runs no more.
    pub async fn in_turn<P, T>(
        &mut self,
        rounds: usize,
        parties: &[P],
        mut one: impl AsyncFnMut(usize, P) -> anyhow::Result<T>,
    ) -> Rounds<P, T>
    where
        P: Copy + PartialEq + fmt::Debug,
    {
        let mut found = Rounds(parties.iter().map(|party| (*party, Vec::new())).collect());
        let mut left = parties.to_vec();
        for round in 0..rounds {
            let mut order = left.clone();
            let first = round % order.len().max(1);
            order.rotate_left(first);
            for party in order {
                match one(round, party).await {
                    Ok(figures) => found.push(party, figures),
                    Err(error) => {
                        self.fail(&error.context(format!("{party:?}, round {}", round + 1)));
                        left.retain(|other| *other != party);
                    }
                }
            }
        }
        found
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = || self.sections.iter().flat_map(|(_, rows)| rows);
        let width = rows().map(|row| row.figure.chars().count()).max().unwrap_or(0) + 2;
        writeln!(f, "\n{:width$} {:>9} {:>9} {:>9}   {:8}", "", "min", "median", "max", "target")?;
        for (section, rows) in self.sections.iter().filter(|(_, rows)| !rows.is_empty()) {
            writeln!(f, "{section}")?;
            for row in rows {
                let (digits, ends) = (row.digits, (row.values[0], row.values[row.values.len() - 1]));
                let (figure, median) = (&row.figure, row.median());
                write!(
                    f,
                    "  {figure:0$} {1:>9.digits$} {median:>9.digits$} {2:>9.digits$}",
                    width - 2,
                    ends.0,
                    ends.1
                )?;
                match row.target {
                    Some(target) if target.is_met(median) => writeln!(f, "   {target:8} met")?,
                    Some(target) => writeln!(f, "   {target:8} MISSED")?,
                    None => writeln!(f)?,
                }
            }
        }
        self.failures.iter().try_for_each(|failure| writeln!(f, "FAILED {failure}"))
    }
}

/// What each party had in each round.
pub struct Rounds<P, T>(Vec<(P, Vec<T>)>);

impl<P: Copy + PartialEq, T> Rounds<P, T> {
    fn push(&mut self, party: P, figures: T) {
        if let Some((_, all)) = self.0.iter_mut().find(|(other, _)| *other == party) {
            all.push(figures);
        }
    }

    fn all(&self, party: P) -> &[T] {
        self.0.iter().find(|(other, _)| *other == party).map_or(&[], |(_, all)| all)
    }

    /// One figure of a party, round by round.
    pub fn of(&self, party: P, figure: impl Fn(&T) -> f64) -> Vec<f64> {
        self.all(party).iter().map(figure).collect()
    }

    /// A figure of two parties, round by round: never one's good round beside the other's bad one.
    pub fn pairs(&self, (one, other): (P, P), figure: impl Fn(&T, &T) -> f64) -> Vec<f64> {
        self.all(one).iter().zip(self.all(other)).map(|(a, b)| figure(a, b)).collect()
    }
}
