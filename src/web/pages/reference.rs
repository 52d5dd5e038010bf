//! `GET /api`: the reference of the API for people, made of `GET /api/openapi.json`.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde_json::Value;
use utoipa::openapi::OpenApi;

use super::Frame;
use crate::web::auth::Viewer;
use crate::web::error::{WebError, page as render};
use crate::web::links::Links;
use crate::web::markdown;
use crate::web::state::WebState;

/// The methods in the order in which they are told of.
const METHODS: [&str; 7] = ["get", "post", "put", "head", "patch", "delete", "options"];

/// The document, for programs and for people.
pub(in crate::web) fn routes(document: &OpenApi, links: &Links) -> Router<WebState> {
    let document = serde_json::to_value(document).unwrap_or_default();
    let raw = Bytes::from(document.to_string());
    let reference = Arc::new(Reference::read(&document, links));
    Router::new()
        .route(
            "/api/openapi.json",
            get(async move || ([(CONTENT_TYPE, "application/json")], raw)),
        )
        .route("/api", get(page).layer(Extension(reference)))
}

async fn page(
    State(state): State<WebState>,
    Viewer(viewer): Viewer,
    Extension(reference): Extension<Arc<Reference>>,
) -> Result<Response, WebError> {
    let frame = Frame::new(viewer.as_ref(), state.who_may_publish);
    let page: Html<String> = render(&ReferencePage {
        frame,
        reference: &reference,
    })?;
    Ok(page.into_response())
}

#[derive(Template)]
#[template(path = "reference.html")]
struct ReferencePage<'a> {
    frame: Frame,
    reference: &'a Reference,
}

/// What the page tells. Texts that end in `html` are Markdown made safe.
#[derive(Debug)]
struct Reference {
    about_html: String,
    sections: Vec<Section>,
    shapes: Vec<Shape>,
}

#[derive(Debug)]
struct Section {
    name: String,
    about_html: String,
    operations: Vec<Operation>,
}

#[derive(Debug)]
struct Operation {
    /// Its address on the page.
    anchor: String,
    method: String,
    path: String,
    summary: String,
    about_html: String,
    parameters: Vec<Parameter>,
    bodies: Vec<Content>,
    answers: Vec<Answer>,
    commands: Vec<String>,
}

#[derive(Debug)]
struct Parameter {
    name: String,
    /// `path`, `query` or `header`.
    place: String,
    is_required: bool,
    about_html: String,
}

/// A body: its media type and what is in it.
#[derive(Debug)]
struct Content {
    media_type: String,
    kind: Kind,
}

#[derive(Debug)]
struct Answer {
    status: String,
    about_html: String,
    contents: Vec<Content>,
}

/// An object that is sent or answered.
#[derive(Debug)]
struct Shape {
    name: String,
    about_html: String,
    fields: Vec<Field>,
    /// Shapes whose fields it has too.
    includes: Vec<Kind>,
    /// What it is one of, where it has no fields of its own.
    choices: Vec<Kind>,
}

#[derive(Debug)]
struct Field {
    name: String,
    kind: Kind,
    is_required: bool,
    about_html: String,
}

/// What a value is, in words, and the shape that it names.
#[derive(Debug)]
struct Kind {
    words: String,
    shape: Option<String>,
    may_be_null: bool,
}

impl Reference {
    fn read(document: &Value, links: &Links) -> Self {
        let tags = members(&document["tags"]);
        let shapes = entries(&document["components"]["schemas"]);
        Self {
            about_html: markdown_of(&document["info"]["description"]),
            sections: tags
                .map(|tag| Section::read(tag, document, links))
                .collect(),
            shapes: shapes.map(|(name, it)| Shape::read(name, it)).collect(),
        }
    }
}

impl Section {
    fn read(tag: &Value, document: &Value, links: &Links) -> Self {
        let name = text(&tag["name"]);
        let operations = entries(&document["paths"]).flat_map(|(path, item)| {
            let known = METHODS.iter().filter_map(move |method| {
                let operation = item.get(method)?;
                Some((*method, path.as_str(), operation))
            });
            known.filter(|(_, _, operation)| {
                members(&operation["tags"]).any(|tag| tag.as_str() == Some(&name))
            })
        });
        Self {
            operations: operations
                .map(|(method, path, it)| Operation::read(method, path, it, links))
                .collect(),
            about_html: markdown_of(&tag["description"]),
            name,
        }
    }
}

impl Operation {
    fn read(method: &str, path: &str, operation: &Value, links: &Links) -> Self {
        let parameters = members(&operation["parameters"]).map(|parameter| Parameter {
            name: text(&parameter["name"]),
            place: text(&parameter["in"]),
            is_required: parameter["required"] == true,
            about_html: markdown_of(&parameter["description"]),
        });
        let answers = entries(&operation["responses"]).map(|(status, answer)| Answer {
            status: match status.as_str() {
                "default" => "else".to_owned(),
                status => status.to_owned(),
            },
            about_html: markdown_of(&answer["description"]),
            contents: Content::read(&answer["content"]),
        });
        let samples = members(&operation["x-codeSamples"]);
        Self {
            anchor: text(&operation["operationId"]),
            method: method.to_uppercase(),
            path: path.to_owned(),
            summary: text(&operation["summary"]).trim_end_matches('.').to_owned(),
            about_html: markdown_of(&operation["description"]),
            parameters: parameters.collect(),
            bodies: Content::read(&operation["requestBody"]["content"]),
            answers: answers.collect(),
            commands: samples
                .map(|sample| text(&sample["source"]).replace("{url}", links.origin()))
                .collect(),
        }
    }
}

impl Content {
    fn read(content: &Value) -> Vec<Self> {
        let contents = entries(content).map(|(media_type, it)| Self {
            media_type: media_type.clone(),
            kind: Kind::of(&it["schema"]),
        });
        contents.collect()
    }
}

impl Shape {
    fn read(name: &str, schema: &Value) -> Self {
        let parts = || members(&schema["allOf"]);
        let own = parts().chain([schema]);
        let included = parts().filter(|part| part.get("$ref").is_some());
        Self {
            name: name.to_owned(),
            about_html: markdown_of(&schema["description"]),
            fields: own.flat_map(Field::read).collect(),
            includes: included.map(Kind::of).collect(),
            choices: members(&schema["oneOf"]).map(Kind::of).collect(),
        }
    }
}

impl Field {
    fn read(schema: &Value) -> impl Iterator<Item = Self> {
        entries(&schema["properties"]).map(|(name, it)| Self {
            name: name.clone(),
            kind: Kind::of(it),
            is_required: members(&schema["required"]).any(|it| it.as_str() == Some(name)),
            about_html: markdown_of(&it["description"]),
        })
    }
}

impl Kind {
    fn of(schema: &Value) -> Self {
        if let Some(named) = schema["$ref"].as_str() {
            let shape = named.rsplit('/').next().unwrap_or_default().to_owned();
            return Self {
                shape: Some(shape),
                ..Self::plain("")
            };
        }
        if let Some(choice) = members(&schema["oneOf"]).find(|it| it["type"] != "null") {
            return Self {
                may_be_null: true,
                ..Self::of(choice)
            };
        }
        let kinds = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            kind => kind.as_str().into_iter().collect::<Vec<_>>(),
        };
        let kind = match kinds.iter().find(|kind| **kind != "null") {
            Some(&"array") => {
                let item = Self::of(&schema["items"]);
                Self {
                    words: format!("list of {}", item.words),
                    ..item
                }
            }
            Some(&"string") if schema["format"] == "binary" => Self::plain("bytes"),
            Some(&"string") => Self::plain("text"),
            Some(&"integer") => Self::plain("whole number"),
            Some(&"boolean") => Self::plain("true or false"),
            Some(other) => Self::plain(other),
            None => Self::plain("anything"),
        };
        Self {
            may_be_null: kinds.contains(&"null"),
            ..kind
        }
    }

    fn plain(words: &str) -> Self {
        Self {
            words: words.to_owned(),
            shape: None,
            may_be_null: false,
        }
    }
}

fn members(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A text of the source code: its lines end where they are full, which says nothing, and its paragraphs at empty ones.
fn markdown_of(value: &Value) -> String {
    let paragraphs = value.as_str().unwrap_or_default().split("\n\n");
    let paragraphs: Vec<_> = paragraphs.map(|lines| lines.replace('\n', " ")).collect();
    markdown::to_html(&paragraphs.join("\n\n"))
}
