//! Tables for a terminal.

/// Lines of cells under a head; every column as wide as its widest cell.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with a head.
    #[must_use]
    pub fn new<'c>(head: impl IntoIterator<Item = &'c str>) -> Self {
        Self {
            rows: vec![head.into_iter().map(str::to_owned).collect()],
        }
    }

    /// Adds a line.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                // Words to the left, what begins with a digit to the right.
                let number = column > 0 && cell.starts_with(|first: char| first.is_ascii_digit());
                let padded = if number {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                };
                line += &padded;
                line += "  ";
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["case", "ms"]);
        table.row(["drop / drop".to_owned(), "9.5".to_owned()]);
        table.row(["rst".to_owned(), "10.5".to_owned()]);
        assert_eq!(
            table.to_string(),
            "case         ms\ndrop / drop   9.5\nrst          10.5\n"
        );
    }
}
