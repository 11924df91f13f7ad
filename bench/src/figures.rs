//! Medians with their spread, and tables.

use std::fmt::{self, Write as _};

/// One figure a round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures(Vec<f64>);

impl Figures {
    /// Of these; what is not a number is left out.
    #[must_use]
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().filter(|figure| figure.is_finite()).collect();
        figures.sort_by(f64::total_cmp);
        Self(figures)
    }

    /// Round by round, the one through the other.
    #[must_use]
    pub fn ratio(one: &[f64], other: &[f64]) -> Self {
        Self::of(one.iter().zip(other).map(|(one, other)| one / other))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one in the middle; 0 when there is none.
    #[must_use]
    pub fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        match (self.0.get(middle), self.0.len() % 2) {
            (None, _) => 0.0,
            (Some(figure), 1) => *figure,
            (Some(figure), _) => (self.0[middle - 1] + figure) / 2.0,
        }
    }

    /// The least and the greatest.
    #[must_use]
    pub fn spread(&self) -> (f64, f64) {
        (self.0.first().copied().unwrap_or(0.0), self.0.last().copied().unwrap_or(0.0))
    }

    /// As `1.72 (1.61–1.80)`; a dash when there is none.
    #[must_use]
    pub fn text(&self) -> String {
        let (least, greatest) = self.spread();
        match self.0.len() {
            0 => "–".to_owned(),
            1 => short(self.median()),
            _ => format!("{} ({}–{})", short(self.median()), short(least), short(greatest)),
        }
    }
}

/// A number with about three digits that count: `1 135 k`, `12.3`, `0.45`.
#[must_use]
pub fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 999_500.0 => format!("{:.2} M", number / 1e6),
        size if size >= 9_950.0 => format!("{:.0} k", number / 1e3),
        size if size >= 999.5 => format!("{:.2} k", number / 1e3),
        size if size >= 99.5 => format!("{number:.0}"),
        size if size >= 9.95 => format!("{number:.1}"),
        size if size >= 0.0995 || size == 0.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

/// A table in Markdown.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    #[must_use]
    pub fn new<H: Into<String>>(headings: impl IntoIterator<Item = H>) -> Self {
        Self { rows: vec![headings.into_iter().map(Into::into).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether it has headings only.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, row) in self.rows.iter().enumerate() {
            writeln!(out, "| {} |", row.join(" | "))?;
            if index == 0 {
                let rule = row.iter().fold(String::from("|"), |mut rule, _| {
                    let _ = write!(rule, "---|");
                    rule
                });
                writeln!(out, "{rule}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_and_ratios_are_of_the_same_round() {
        assert_eq!(Figures::of([3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(Figures::of([4.0, 1.0, 2.0, 3.0]).median(), 2.5);
        let ratio = Figures::ratio(&[2.0, 9.0, 8.0], &[1.0, 3.0, 2.0]);
        assert_eq!((ratio.median(), ratio.spread()), (3.0, (2.0, 4.0)));
        assert_eq!(ratio.text(), "3.00 (2.00–4.00)");
        assert_eq!(Figures::default().text(), "–");
    }

    #[test]
    fn numbers_are_short() {
        let texts = [1_135_000.0, 135_432.0, 1_234.0, 123.4, 12.34, 0.456, 0.0123].map(short);
        assert_eq!(texts, ["1.14 M", "135 k", "1.23 k", "123", "12.3", "0.46", "0.012"]);
    }
}
