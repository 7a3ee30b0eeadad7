//! `analyze INPUT...`: the summary on standard output, everything else in a folder.

use super::output::{Folder, Named};
use super::{Outcome, input};
use crate::analysis::Analysis;
use crate::cli::Analyze;
use crate::tables::{self, Format, Output, TABLES, Table};
use crate::{plots, report, summary};
use anyhow::Context;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs the command.
///
/// # Errors
/// Unreadable input, or files that cannot be written.
pub fn run(args: &Analyze) -> anyhow::Result<Outcome> {
    let folder = args.output.clone().unwrap_or_else(|| folder_of(&args.input.inputs));
    let made = if args.no_files { None } else { Some(Folder::new(&folder)?) };
    let analysis = input::disguise(input::load(&args.input, args.times)?, &args.input, Some(&folder))?;
    let mut stdout = Named::stdout();
    if args.no_files {
        stdout.write_all(summary::text(&analysis).as_bytes())?;
    } else {
        write_all(&analysis, &folder, input::threads(&args.input))?;
        writeln!(stdout, "\ntables and plots: {}\nreport: {}", folder.display(), folder.join("report.html").display())?;
    }
    stdout.flush()?;
    drop(made);
    let outcome = Outcome::of(&analysis);
    // The process ends here: millions of texts need not be freed one by one.
    std::mem::forget(analysis);
    Ok(outcome)
}

/// The input's name without what it says of its format, `.analysis` after it, in the current folder.
fn folder_of(inputs: &[PathBuf]) -> PathBuf {
    let name = match inputs.first().and_then(|p| p.file_name()) {
        Some(name) if name != "-" => name.to_string_lossy().into_owned(),
        _ => "stdin".to_owned(),
    };
    let mut stem = name.as_str();
    for ending in [".zst", ".gz", ".pcapng", ".pcap", ".cap"] {
        stem = stem.strip_suffix(ending).filter(|s| !s.is_empty()).unwrap_or(stem);
    }
    PathBuf::from(format!("{stem}.analysis"))
}

/// A part of the work that stands on its own.
type Job<'a> = Box<dyn Fn() -> anyhow::Result<()> + Send + Sync + 'a>;

/// Writes the summary to standard output, and all tables, plots and the report into the folder.
fn write_all(analysis: &Analysis, folder: &Path, threads: usize) -> anyhow::Result<()> {
    let cannot = || format!("cannot write to {}: give another folder with --output", folder.display());
    let (to_tables, to_plots) = (folder.join("tables"), folder.join("plots"));
    for folder in [&to_tables, &to_plots] {
        fs::create_dir_all(folder).with_context(cannot)?;
    }
    // Plots have names that depend on the input: those of an earlier analysis would stay among them.
    for entry in fs::read_dir(&to_plots).with_context(cannot)?.flatten() {
        if entry.path().extension().is_some_and(|e| e == "svg") {
            fs::remove_file(entry.path()).with_context(cannot)?;
        }
    }
    let tables = |large: bool| TABLES.iter().filter(move |t| LARGE.contains(&t.name) == large);
    let (to_tables, to_plots) = (&to_tables, &to_plots);
    let write = |table| -> Job<'_> { Box::new(move || write_table(analysis, table, to_tables)) };
    let print = || Ok(Named::stdout().write_all(summary::text(analysis).as_bytes())?);
    let mut jobs: Vec<Job<'_>> = vec![Box::new(print)];
    jobs.extend(tables(true).map(write));
    jobs.push(Box::new(|| report::write(&folder.join("report.html"), analysis)));
    jobs.push(Box::new(|| plots::write_all(to_plots, analysis).map(drop)));
    jobs.extend(tables(false).map(write));
    run_all(&jobs, threads)
}

/// Tables that take longest: they come first, so that no thread is left with one of them when all others have ended.
const LARGE: [&str; 7] = ["requests", "spans", "network_profile", "flows", "round_trips", "traces", "tcp_packets"];

fn write_table(analysis: &Analysis, table: &Table, folder: &Path) -> anyhow::Result<()> {
    let path = folder.join(format!("{}.parquet", table.name));
    let cannot = || format!("cannot write {}", path.display());
    let mut file = BufWriter::with_capacity(1 << 18, Named::create(&path)?);
    let written = write_parquet(analysis, table, &mut file).with_context(cannot);
    Named::end(file, written)
}

fn write_parquet(analysis: &Analysis, table: &Table, file: &mut dyn Write) -> anyhow::Result<()> {
    let mut out = Output::new(Format::Parquet, None, file, &table.columns()?)?;
    let form = out.form();
    tables::each_piece(table, analysis, |frame| out.append(form.prepare(frame)?))?;
    Ok(out.finish()?)
}

/// Runs jobs on threads of their own, not on rayon's: Polars has a pool itself and must not be called from another.
fn run_all(jobs: &[Job<'_>], threads: usize) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    let errors = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.min(jobs.len()) {
            scope.spawn(|| {
                while let Some((place, job)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, jobs.get(i)?)))
                {
                    if let Err(e) = job() {
                        errors.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((place, e));
                    }
                }
            });
        }
    });
    let mut errors = errors.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    errors.sort_by_key(|(place, _)| *place);
    errors.into_iter().next().map_or(Ok(()), |(_, e)| Err(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_after_the_first_input() {
        let of = |name: &str| folder_of(&[name.into(), "other".into()]).display().to_string();
        assert_eq!(of("/a/b/node1-20261123.zst"), "node1-20261123.analysis");
        assert_eq!(of("x.pcap.gz"), "x.analysis");
        assert_eq!(of("x.pcapng"), "x.analysis");
        assert_eq!(of("bundle"), "bundle.analysis");
        assert_eq!(of("-"), "stdin.analysis");
        assert_eq!(of(".zst"), ".zst.analysis");
    }

    #[test]
    fn all_jobs_run_once_and_the_first_error_is_told() {
        for threads in [1, 3] {
            let ran = AtomicUsize::new(0);
            let job = |fails: Option<&'static str>| -> Job<'_> {
                let ran = &ran;
                Box::new(move || {
                    ran.fetch_add(1, Ordering::Relaxed);
                    fails.map_or(Ok(()), |why| Err(anyhow::anyhow!(why)))
                })
            };
            let jobs = [job(None), job(Some("first")), job(None), job(Some("second"))];
            assert_eq!(run_all(&jobs, threads).unwrap_err().to_string(), "first");
            assert_eq!(ran.load(Ordering::Relaxed), 4);
        }
    }
}
