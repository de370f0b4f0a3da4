//! One call of the interface, as the document describes it.

use serde_json::{Map, Value, json};

use super::examples::Example;
use super::parameters::{Parameter, header_references, traceparent};
use super::problems;
use super::schemas::reference;

/// One method of one path.
pub(super) struct Call {
    /// In capitals.
    pub(super) method: &'static str,
    /// As the router writes it.
    pub(super) path: &'static str,
    /// A name for programs that are generated from the document.
    pub(super) id: &'static str,
    /// What it does, in a few words.
    pub(super) title: &'static str,
    /// What there is to know of it.
    pub(super) about: &'static str,
    /// What it takes in its address and its head.
    pub(super) parameters: Vec<Parameter>,
    /// What it takes in its body.
    pub(super) request: Option<Body>,
    /// What it answers where it succeeds.
    pub(super) answers: Vec<Answer>,
    /// The codes of all problems that it may answer with.
    pub(super) codes: Vec<&'static str>,
}

/// A body of a request.
pub(super) struct Body {
    /// The name of its schema.
    pub(super) schema: &'static str,
    /// What it looks like.
    pub(super) examples: Vec<Example>,
}

/// An answer that is not a problem.
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    /// When it is this one.
    pub(super) about: &'static str,
    /// The names of its headers.
    pub(super) headers: &'static [&'static str],
    /// Its body in each form that it comes in; none has no body.
    pub(super) content: Vec<Content>,
    /// The calls that go on from here, with what this answer tells.
    pub(super) links: &'static [Link],
}

/// A call that goes on from an answer.
pub(super) struct Link {
    /// The call's id.
    pub(super) call: &'static str,
    /// What of that call comes from this answer: a parameter, or a field of its body.
    pub(super) takes: Takes,
    /// Where in this answer it stands: a field's name.
    pub(super) from: &'static str,
}

/// What a call takes from an earlier answer.
pub(super) enum Takes {
    /// The parameter of that name.
    Parameter(&'static str),
    /// The field of its body of the same name.
    Field,
}

/// A body of an answer.
pub(super) struct Content {
    /// Its media type.
    pub(super) media_type: &'static str,
    /// Its schema.
    pub(super) schema: Value,
    /// What it looks like.
    pub(super) examples: Vec<Example>,
}

impl Content {
    /// JSON of the schema of that name.
    pub(super) fn json(schema: &str, examples: Vec<Example>) -> Content {
        Content { media_type: "application/json", schema: reference(schema), examples }
    }

    /// Text of that media type.
    pub(super) fn text(media_type: &'static str, examples: Vec<Example>) -> Content {
        Content { media_type, schema: json!({ "type": "string" }), examples }
    }

    /// The same, as a read that may be stale answers it.
    pub(super) fn or_stale(mut self) -> Content {
        self.schema = json!({ "allOf": [self.schema, reference("Stale")] });
        self
    }

    fn document(&self) -> (String, Value) {
        (self.media_type.to_owned(), json!({ "schema": self.schema, "examples": named(&self.examples) }))
    }
}

impl Call {
    /// The call as OpenAPI writes it, in the group of that name.
    pub(super) fn document(&self, group: &str) -> Value {
        let parameters: Vec<Value> =
            self.parameters.iter().chain([&traceparent()]).map(Parameter::document).collect();
        let mut document = json!({
            "operationId": self.id,
            "tags": [group],
            "summary": self.title,
            "description": self.about,
            "parameters": parameters,
        });
        if let Some(body) = &self.request {
            document["requestBody"] = json!({
                "required": true,
                "content": {
                    "application/json": { "schema": reference(body.schema), "examples": named(&body.examples) },
                },
            });
        }
        document["responses"] = Value::Object(self.responses());
        document
    }

    fn responses(&self) -> Map<String, Value> {
        let mut responses = Map::new();
        for answer in &self.answers {
            responses.insert(answer.status.to_string(), answer.document());
        }
        for (status, codes) in problems::by_status(&self.codes) {
            responses.insert(status.to_string(), problems::response(status, &codes));
        }
        responses
    }
}

impl Answer {
    fn document(&self) -> Value {
        let mut document = json!({ "description": self.about });
        if !self.headers.is_empty() {
            document["headers"] = header_references(self.headers);
        }
        if !self.content.is_empty() {
            document["content"] = Value::Object(self.content.iter().map(Content::document).collect());
        }
        if !self.links.is_empty() {
            document["links"] = Value::Object(self.links.iter().map(Link::document).collect());
        }
        document
    }
}

impl Link {
    fn document(&self) -> (String, Value) {
        let from = format!("$response.body#/{}", self.from);
        let mut document = json!({ "operationId": self.call });
        match self.takes {
            Takes::Parameter(name) => document["parameters"] = json!({ name: from }),
            Takes::Field => document["requestBody"] = json!({ self.from: from }),
        }
        (self.call.to_owned(), document)
    }
}

fn named(examples: &[Example]) -> Map<String, Value> {
    let named = |example: &Example| {
        (example.name.to_owned(), json!({ "summary": example.summary, "value": example.value }))
    };
    examples.iter().map(named).collect()
}
