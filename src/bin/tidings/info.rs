//! `info`: what a store consists of.

use std::path::Path;

use serde_json::json;
use tidings::storage::{
    FileReader,
    file::{FileInfo, StoreInfo},
};

use crate::{
    base16,
    failure::Failure,
    output::{Output, Tone},
    text::Harmless,
};

pub(crate) fn run(dir: &Path, output: &mut Output) -> Result<(), Failure> {
    let info = FileReader::open(dir)?.info()?;
    if output.json { output.object(&object(&info)) } else { show(&info, output) }
}

fn object(info: &StoreInfo) -> serde_json::Value {
    let segments = info.segments.iter().map(|segment| {
        json!({
            "id": segment.id,
            "first": segment.first,
            "bytes": segment.bytes,
            "used": segment.used,
            "sealed": segment.sealed,
        })
    });
    let files = |files: &[FileInfo]| -> Vec<_> {
        files.iter().map(|file| json!({"file": name(file), "bytes": file.bytes})).collect()
    };
    json!({
        "path": info.path.to_string_lossy(),
        "id": base16::encode(&info.id),
        "format": info.format,
        "generation": info.generation,
        "timeline": base16::encode(&info.timeline.to_be_bytes()),
        "epoch": info.epoch,
        "closed": info.closed,
        "first": info.first,
        "end": info.end,
        "segments": segments.collect::<Vec<_>>(),
        "state": files(&info.state),
        "set_aside": files(&info.set_aside),
        "bytes": info.bytes,
    })
}

fn name(file: &FileInfo) -> String {
    file.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn show(info: &StoreInfo, output: &mut Output) -> Result<(), Failure> {
    let events = info.end.since(info.first);
    let closed = if info.closed { "closed" } else { "open, or left so by a crash" };
    let rows = [
        ("store", base16::encode(&info.id)),
        ("format", format!("version {}, generation {}", info.format, info.generation)),
        ("history", format!("{:016x}, opened {} times", info.timeline, info.epoch)),
        ("condition", closed.to_owned()),
        ("events", format!("{events}, from {} to before {}", info.first, info.end)),
        ("size", format!("{} bytes", info.bytes)),
    ];
    for (title, value) in rows {
        let title = output.paint(Tone::Quiet, format!("{title:<10}"));
        output.line(format!("{title} {value}"))?;
    }
    let title = output.paint(Tone::Quiet, "\nsegments      first        bytes         used");
    output.line(title)?;
    for segment in &info.segments {
        let sealed = if segment.sealed { "sealed" } else { "active" };
        let (id, first) = (segment.id, segment.first);
        output.line(format!(
            "{id:>8} {first:>10} {:>12} {:>12} {sealed}",
            segment.bytes, segment.used
        ))?;
    }
    list("state", &info.state, output)?;
    list("set aside", &info.set_aside, output)
}

fn list(title: &str, files: &[FileInfo], output: &mut Output) -> Result<(), Failure> {
    if files.is_empty() {
        return Ok(());
    }
    output.line(output.paint(Tone::Quiet, format!("\n{title}")))?;
    for file in files {
        output.line(format!("{:>12} {}", file.bytes, Harmless(&name(file))))?;
    }
    Ok(())
}
