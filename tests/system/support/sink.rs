//! Where notifications end: a webhook that is never killed and writes down what came.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// A webhook and everything it was told.
#[derive(Clone, Default)]
pub struct Sink {
    told: Arc<Mutex<Vec<Value>>>,
}

impl Sink {
    /// Listens; returns itself and its address.
    pub async fn start() -> (Self, String) {
        let sink = Self::default();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/webhook", listener.local_addr().unwrap());
        let router = axum::Router::new().route("/webhook", post(receive)).with_state(sink.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (sink, url)
    }

    /// Delivery → the alerts it was told with, as often as it came. The delivery's name is the same over
    /// all attempts, so a receiver can drop repeats; two names for one alert would be two notifications.
    pub fn deliveries(&self) -> BTreeMap<String, Vec<Value>> {
        let mut by_name: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for told in self.told.lock().unwrap().iter() {
            by_name.entry(told["delivery"].as_str().unwrap().to_owned()).or_default().push(told["alert"].clone());
        }
        by_name
    }
}

async fn receive(State(sink): State<Sink>, Json(told): Json<Value>) -> StatusCode {
    sink.told.lock().unwrap().push(told);
    StatusCode::OK
}
