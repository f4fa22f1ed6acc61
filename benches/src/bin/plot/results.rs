//! Reading the lines that the comparisons print for scripts.

use tidings_bench::is_below;

/// Everyone's figures in one workload, in the order of the lines.
#[derive(Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) workload: String,
    pub(crate) unit: String,
    pub(crate) bars: Vec<Bar>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) figure: f64,
}

/// The figures of these workloads, or of all where none is named. Of several figures under one name
/// the last one counts.
pub(crate) fn read(text: &str, workloads: &[String]) -> Vec<Group> {
    let wanted = |group: &Group| {
        workloads.is_empty() || workloads.iter().any(|name| is_below(&group.workload, name))
    };
    let mut groups: Vec<Group> = Vec::new();
    for line in text.lines().filter_map(group).filter(wanted) {
        match groups.iter_mut().find(|group| group.workload == line.workload) {
            Some(known) => line.bars.into_iter().for_each(|bar| known.put(bar)),
            None => groups.push(line),
        }
    }
    groups
}

impl Group {
    fn put(&mut self, bar: Bar) {
        match self.bars.iter_mut().find(|known| known.name == bar.name) {
            Some(known) => known.figure = bar.figure,
            None => self.bars.push(bar),
        }
    }
}

fn group(line: &str) -> Option<Group> {
    let mut words = line.strip_prefix("RESULT ")?.split_whitespace();
    let (workload, unit) = (words.next()?.to_owned(), words.next()?.to_owned());
    Some(Group { workload, unit, bars: words.filter_map(bar).collect() })
}

/// Ratios and their spread are no bars.
fn bar(word: &str) -> Option<Bar> {
    let (name, figure) = word.split_once('=')?;
    let figure = figure.parse().ok().filter(|figure| *figure > 0.0)?;
    (name != "ratio").then(|| Bar { name: name.to_owned(), figure })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
log/open [ms]
  ours    1.0
RESULT log/open ms ours=1.000 fjall=9.500 ratio=9.500 spread=8.000..9.900
RESULT log/open ms ours=1.000 redb=3 ratio=3.000 spread=2.000..4.000
RESULT fanout/1-to-1/batch ev/s ours=2000
";

    fn names(workloads: &[&str]) -> Vec<String> {
        let workloads: Vec<String> = workloads.iter().map(|name| (*name).to_owned()).collect();
        read(TEXT, &workloads).into_iter().map(|group| group.workload).collect()
    }

    #[test]
    fn lines_of_one_workload_are_one_group() {
        let groups = read(TEXT, &[]);
        let bar = |name: &str, figure| Bar { name: name.into(), figure };
        let bars = vec![bar("ours", 1.0), bar("fjall", 9.5), bar("redb", 3.0)];
        let first = Group { workload: "log/open".into(), unit: "ms".into(), bars };
        assert_eq!(groups.first(), Some(&first));
        assert_eq!(groups.len(), 2);
    }

    #[test]
    fn a_workload_chooses_what_is_below_it() {
        assert_eq!(names(&["fanout/1-to-1"]), ["fanout/1-to-1/batch"]);
        assert_eq!(names(&["fanout/1", "log"]), ["log/open"]);
    }
}
