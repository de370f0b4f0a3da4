//! The two formats of lists of SKUs, which export writes and import reads.

use std::path::Path;

use crate::cli::failure::Failure;

/// The columns of an export, and of an import that sets.
pub(super) const COLUMNS: [&str; 4] = ["sku", "on_hand", "safety_stock", "max_per_customer"];

/// How a list of SKUs is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// A header, and a line for each SKU.
    Csv,
    /// A JSON object on each line.
    Ndjson,
}

/// The format that was given, or that the file's name says; of stdin and stdout it is CSV.
pub(super) fn format(given: Option<Format>, file: &Path) -> Result<Format, Failure> {
    let extension = file.extension().map(|extension| extension.to_ascii_lowercase());
    match (given, extension.as_deref().and_then(|extension| extension.to_str())) {
        (Some(format), _) => Ok(format),
        (None, Some("csv")) => Ok(Format::Csv),
        (None, Some("ndjson" | "jsonl")) => Ok(Format::Ndjson),
        (None, _) if is_standard(file) => Ok(Format::Csv),
        (None, _) => {
            let file = file.display();
            Err(Failure::usage(format!(
                "{file} ends in neither .csv nor .ndjson; give --format csv or ndjson"
            )))
        }
    }
}

/// Whether it means stdin or stdout.
pub(super) fn is_standard(file: &Path) -> bool {
    file == Path::new("-")
}
