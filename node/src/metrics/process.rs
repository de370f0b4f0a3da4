//! This process as Linux sees it, under the names that every Prometheus client gives it. What cannot be read is left
//! out.

use std::fs::{read_dir, read_to_string};

use super::page::Page;

/// The fields of `/proc/self/stat` behind the command's name, counted from the state as field 3 (see proc(5)).
struct Stat(Vec<u64>);

impl Stat {
    fn read() -> Option<Stat> {
        let text = read_to_string("/proc/self/stat").ok()?;
        // The name may have blanks and brackets in it; nothing behind the last bracket has.
        let (_, fields) = text.rsplit_once(')')?;
        // What is no number, or below 0, is asked by nobody here.
        Some(Stat(fields.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect()))
    }

    fn field(&self, number: usize) -> Option<u64> {
        self.0.get(number.checked_sub(3)?).copied()
    }
}

pub(super) fn render(page: &mut Page) {
    if let Some(stat) = Stat::read() {
        render_stat(page, &stat);
    }
    // One of them is the directory that is being read.
    if let Ok(open) = read_dir("/proc/self/fd") {
        let open = open.count().saturating_sub(1);
        page.gauge("process_open_fds", "Open file descriptors.", open);
    }
    if let Some(most) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        page.gauge("process_max_fds", "The most file descriptors that it may open.", most);
    }
}

fn render_stat(page: &mut Page, stat: &Stat) -> Option<()> {
    let hz = rustix::param::clock_ticks_per_second();
    let ticks = stat.field(14)? + stat.field(15)?;
    page.counter("process_cpu_seconds_total", "CPU time, of the user and the system.", in_seconds(ticks, hz));
    page.gauge("process_threads", "Threads.", stat.field(20)?);
    let resident = stat.field(24)?.saturating_mul(rustix::param::page_size() as u64);
    page.gauge("process_resident_memory_bytes", "Memory that is in RAM.", resident);
    page.gauge("process_virtual_memory_bytes", "Address space.", stat.field(23)?);
    let started = boot_seconds()? as f64 + stat.field(22)? as f64 / hz as f64;
    page.gauge(
        "process_start_time_seconds",
        "When it started, in seconds since 1970.",
        format!("{started:.2}"),
    );
    Some(())
}

fn in_seconds(ticks: u64, hz: u64) -> String {
    format!("{:.2}", ticks as f64 / hz as f64)
}

/// When the system started, in seconds since 1970.
fn boot_seconds() -> Option<u64> {
    let text = read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_told() {
        if !std::path::Path::new("/proc/self/stat").exists() {
            eprintln!("SKIPPED: no /proc on this system");
            return;
        }
        let mut page = Page::default();
        render(&mut page);
        let text = page.into_text();
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e6, "{text}");
        assert!(
            value("process_open_fds") >= 3.0 && value("process_max_fds") >= value("process_open_fds"),
            "{text}"
        );
        assert!(value("process_threads") >= 1.0, "{text}");
        let now = crate::clock::wall_ms() as f64 / 1e3;
        assert!(
            (now - 86_400.0 * 7.0..now + 60.0).contains(&value("process_start_time_seconds")),
            "{now}: {text}"
        );
    }
}
