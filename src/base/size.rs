//! Amounts of data as people say them.

/// `1.2 GB`, in powers of ten as disks are sold.
pub fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 || value >= 100.0 {
        format!("{value:.0} {}", units[unit])
    } else {
        format!("{value:.1} {}", units[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_told_as_people_say_them() {
        assert_eq!(
            [0, 999, 1_234, 250_000_000, 1_230_000_000].map(size),
            ["0 B", "999 B", "1.2 kB", "250 MB", "1.2 GB"]
        );
    }
}
