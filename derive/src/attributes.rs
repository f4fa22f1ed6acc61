//! Reads `#[event(..)]`.

use syn::{
    Attribute, DeriveInput, Error, Ident, LitBool, LitStr, Meta, Path, Result, Token,
    punctuated::Punctuated, spanned::Spanned,
};

use crate::{name, problems::Problems, setting::Setting, suggest};

const OPTIONS: [&str; 7] =
    ["name", "version", "key", "key_with", "codec", "durability", "compacted"];

/// What `#[event(..)]` says. Mistakes are among the problems already.
#[derive(Default)]
pub(crate) struct Attributes {
    pub(crate) name: Option<LitStr>,
    pub(crate) version: Option<u32>,
    pub(crate) key: Option<KeySource>,
    pub(crate) codec: Option<Path>,
    pub(crate) durability: Option<Ident>,
    pub(crate) compacted: Option<LitBool>,
}

pub(crate) enum KeySource {
    Field(LitStr),
    Function(Path),
}

impl Attributes {
    pub(crate) fn read(input: &DeriveInput, problems: &mut Problems) -> Self {
        let Some(settings) = settings(input, problems) else {
            return Self::default();
        };
        report_duplicates(&settings, problems);
        report_two_keys(&settings, problems);
        let mut attributes = Self::default();
        for setting in &settings {
            let read = attributes.apply(setting);
            problems.ok(read);
        }
        if !settings.iter().any(means_name) {
            problems.add(missing_name(input));
        }
        attributes
    }

    fn apply(&mut self, setting: &Setting) -> Result<()> {
        match setting.option.to_string().as_str() {
            "name" => {
                let text = setting.text("orders.placed")?;
                name::check(&text)?;
                self.name = Some(text);
            }
            "version" => self.version = Some(version(setting)?),
            "key" => self.key = Some(KeySource::Field(setting.text("order_id")?)),
            "key_with" => self.key = Some(KeySource::Function(setting.path("path::to::function")?)),
            "codec" => self.codec = Some(setting.path("path::to::Codec")?),
            "durability" => self.durability = Some(durability(setting)?),
            "compacted" => self.compacted = Some(setting.truth()?),
            _ => return Err(unknown_option(&setting.option)),
        }
        Ok(())
    }
}

/// Every setting of every `#[event(..)]`, or nothing if one of them cannot be read.
fn settings(input: &DeriveInput, problems: &mut Problems) -> Option<Vec<Setting>> {
    let attributes = input.attrs.iter().filter(|attribute| is_event(attribute));
    let lists: Vec<_> = attributes.map(|attribute| problems.ok(list(attribute))).collect();
    let lists: Option<Vec<_>> = lists.into_iter().collect();
    Some(lists?.into_iter().flatten().collect())
}

pub(crate) fn is_event(attribute: &Attribute) -> bool {
    attribute.path().is_ident("event")
}

fn list(attribute: &Attribute) -> Result<Punctuated<Setting, Token![,]>> {
    match &attribute.meta {
        Meta::List(list) => list.parse_args_with(Punctuated::parse_terminated),
        other => Err(Error::new(
            other.span(),
            "the options go in parentheses: `#[event(name = \"orders.placed\")]`",
        )),
    }
}

fn version(setting: &Setting) -> Result<u32> {
    let number = setting.number("2")?;
    let problem = match number.base10_parse::<u32>() {
        Ok(0) => "versions start at 1".to_owned(),
        Ok(version) => return Ok(version),
        Err(_) => format!("a version is a number from 1 to {}", u32::MAX),
    };
    Err(Error::new(number.span(), problem))
}

/// The variant of `Durability` that is meant.
fn durability(setting: &Setting) -> Result<Ident> {
    let text = setting.text("buffered")?;
    match text.value().as_str() {
        "buffered" => Ok(Ident::new("Buffered", text.span())),
        "synced" => Ok(Ident::new("Synced", text.span())),
        _ => Err(Error::new(text.span(), "a durability is \"buffered\" or \"synced\"")),
    }
}

fn find<'a>(settings: &'a [Setting], option: &str) -> Option<&'a Setting> {
    settings.iter().find(|setting| setting.option == option)
}

/// Whether a setting is the name, or a slip of the pen that is reported as such already.
fn means_name(setting: &Setting) -> bool {
    suggest::nearest(&setting.option.to_string(), OPTIONS) == Some("name")
}

fn report_duplicates(settings: &[Setting], problems: &mut Problems) {
    for (at, setting) in settings.iter().enumerate() {
        let option = &setting.option;
        if settings[..at].iter().any(|earlier| earlier.option == *option) {
            let problem = format!("`{option}` is given twice; keep one of them");
            problems.add(Error::new(option.span(), problem));
        }
    }
}

fn report_two_keys(settings: &[Setting], problems: &mut Problems) {
    if let (Some(_), Some(with)) = (find(settings, "key"), find(settings, "key_with")) {
        let problem = "`key` and `key_with` both say what the key is; keep one of them";
        problems.add(Error::new(with.option.span(), problem));
    }
}

fn unknown_option(option: &Ident) -> Error {
    let written = option.to_string();
    let meant = suggest::did_you_mean(&written, OPTIONS);
    let known = suggest::list(OPTIONS);
    let problem = format!("unknown option `{written}`{meant}\nthe options are {known}");
    Error::new(option.span(), problem)
}

fn missing_name(input: &DeriveInput) -> Error {
    let ident = &input.ident;
    let proposal = name::proposal(&ident.to_string());
    match input.attrs.iter().find(|attribute| is_event(attribute)) {
        Some(attribute) => Error::new(
            attribute.path().span(),
            format!("the event has no name; add one: `name = {proposal:?}`"),
        ),
        None => Error::new(
            ident.span(),
            format!(
                "the event `{ident}` has no name; \
                 add this line under the derive: `#[event(name = {proposal:?})]`"
            ),
        ),
    }
}
