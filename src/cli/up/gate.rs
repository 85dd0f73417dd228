//! Where trackers connect: to the door of RideGuard itself, and where somebody wants one, to a private broker.
//!
//! A new data folder has no broker. One that has a broker keeps it, for it may hold packets that trackers will not send again.

use crate::cli::up::Args;
use crate::config;
use crate::supervisor::broker::{self, Mosquitto};
use crate::supervisor::{Folder, certificates, free_port};
use anyhow::{anyhow, bail};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};

/// Where trackers connect.
pub(super) struct Gate {
    /// Whether there is a private broker.
    pub has_broker: bool,
    /// The door as the settings have it; without listeners there is no door.
    pub door: config::Door,
}

impl Gate {
    /// Decides, and says now what would fail after half a minute of setting up.
    ///
    /// # Errors
    /// A missing program, a busy port, a broker that may keep packets and that nobody wants any more.
    pub fn new(folder: &Folder, args: &Args) -> anyhow::Result<Self> {
        let earlier = broker::home_of_earlier(folder);
        if args.without_broker
            && let Some(home) = &earlier
        {
            bail!(
                "{home} is of a broker, which may keep packets that trackers will not send again: start once without \
                 --without-broker on other ports, so that no tracker reaches it, let it run for a minute, stop it, remove {home}, and start again",
                home = home.display()
            );
        }
        let has_broker = args.broker || earlier.is_some();
        if has_broker {
            broker::programs()?;
            if args.mqtt_hostname.is_some() && args.mqtt_port.is_none() {
                bail!(
                    "--mqtt-hostname needs --mqtt-port here: there is a broker, and trackers must know where to connect"
                );
            }
            if !args.broker {
                tracing::info!(
                    "This data folder has a private broker and keeps it (docs/door.md says how to leave it)"
                );
            }
        }
        let mqtt_port = args.mqtt_port.filter(|_| !has_broker);
        check_ports(args, mqtt_port)?;
        let mqtt_ports = match [mqtt_port, args.door_port] {
            [None, None] if !has_broker => vec![free_port()?],
            ports => ports.into_iter().flatten().collect(),
        };
        Ok(Self { has_broker, door: door_of(folder, args, &mqtt_ports) })
    }

    /// The private broker, if there is one; otherwise the certificates alone.
    ///
    /// # Errors
    /// Why it does not start.
    pub fn start_broker(&self, folder: &Folder, args: &Args) -> anyhow::Result<Option<Mosquitto>> {
        let name = args.mqtt_hostname.as_deref();
        if self.has_broker {
            return Mosquitto::start(folder, args.mqtt_port, name).map(Some);
        }
        certificates::make(folder, name).map(|_| None)
    }

    /// Where trackers connect, in a sentence.
    pub fn said(&self, mqtt_port: u16) -> String {
        let to = if self.has_broker { "to the private broker" } else { "to RideGuard itself, without a broker" };
        format!("Trackers connect {to}: MQTT with TLS at port {mqtt_port}.")
    }

    /// The port of the door where MQTT is spoken.
    pub fn mqtt_port(&self) -> Option<u16> {
        let mqtt = |listener: &&config::Listener| listener.language == config::Language::Mqtt;
        self.door.listener.iter().find(mqtt).map(|listener| listener.listen.port())
    }
}

/// All are held until all are there, so that the same port twice is noticed, too.
fn check_ports(args: &Args, mqtt_port: Option<u16>) -> anyhow::Result<()> {
    if !args.http.ip().is_loopback() {
        bail!("--http is {}; it must be a loopback address, with a TLS proxy in front for others", args.http);
    }
    let here = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let mqtt = mqtt_port.map(|port| (here(port), "--mqtt-port"));
    let door = args.door_port.map(|port| (here(port), "--door-port"));
    let tcp = args.door_tcp.iter().map(|(_, port)| (here(*port), "--door-tcp"));
    let people = [(args.http, "--http"), (args.metrics, "--metrics")];
    let mut listeners = Vec::new();
    for (address, flag) in people.into_iter().chain(mqtt).chain(door).chain(tcp) {
        listeners.push(TcpListener::bind(address).map_err(|e| match e.kind() {
            ErrorKind::AddrInUse => {
                anyhow!("port {} on {} is in use; choose another with {flag}", address.port(), address.ip())
            }
            _ => anyhow!("cannot listen on {address} ({flag}): {e}"),
        })?);
    }
    Ok(())
}

/// The door: with the certificate of this data folder, for the trackers of registry and file, on loopback unless trackers
/// connect from outside.
fn door_of(folder: &Folder, args: &Args, mqtt_ports: &[u16]) -> config::Door {
    let ip = if args.mqtt_hostname.is_some() { IpAddr::from([0; 16]) } else { IpAddr::from([127, 0, 0, 1]) };
    let listener = |(language, port), udp| config::Listener {
        language,
        listen: SocketAddr::new(ip, port),
        tls: None,
        udp,
        packet_bytes_max: None,
    };
    let mqtt = mqtt_ports.iter().map(|port| (config::Language::Mqtt, *port));
    let streams = mqtt.chain(args.door_tcp.iter().copied()).map(|port| listener(port, false));
    let listeners: Vec<_> = streams.chain(args.door_udp.iter().map(|port| listener(*port, true))).collect();
    if listeners.is_empty() {
        return config::Door::default();
    }
    config::Door {
        certificate_file: Some(folder.path("secrets/broker.pem")),
        key_file: Some(folder.path("secrets/broker.key")),
        trackers_file: Some(folder.path("trackers")),
        threads: 0,
        listener: listeners,
    }
}

/// The door as lines of the settings file.
pub(super) fn door_settings(door: &config::Door) -> String {
    if door.listener.is_empty() {
        return String::new();
    }
    let listeners = door.listener.iter().map(|listener| {
        let (language, at) = (listener.language.name(), listener.listen);
        let udp = if listener.udp { "udp = true\n" } else { "" };
        format!("\n[[door.listener]]\nlanguage = {language:?}\nlisten = \"{at}\"\n{udp}")
    });
    let files =
        "certificate_file = \"secrets/broker.pem\"\nkey_file = \"secrets/broker.key\"\ntrackers_file = \"trackers\"\n";
    format!("\n[door]\n{files}{}", listeners.collect::<String>())
}

/// The broker as lines of the settings file.
pub(super) fn broker_settings(broker: &config::Broker) -> String {
    if !broker.enabled {
        return "[broker]\nenabled = false\nca_file = \"ca.pem\"\n".into();
    }
    let socket = broker.socket.as_ref().map_or("", |_| "socket = \"services/mosquitto/ingest-tls.sock\"\n");
    let services = broker.services_port.map_or_else(String::new, |port| format!("services_port = {port}\n"));
    let (host, port, username, api) = (&broker.host, broker.port, &broker.username, broker::API_USER);
    format!(
        "[broker]\nhost = {host:?}\nport = {port}\n{services}ca_file = \"ca.pem\"\nusername = {username:?}\npassword_file = \"secrets/broker\"\napi_username = {api:?}\napi_password_file = \"secrets/broker-api\"\n{socket}"
    )
}

/// A language and a port of `--door-tcp`.
pub(super) fn language_port(text: &str) -> Result<(config::Language, u16), String> {
    let spoken = || config::Language::ALL.into_iter().filter(|language| *language != config::Language::Mqtt);
    let (name, port) = text.split_once('=').ok_or("it must be LANGUAGE=PORT, as jt808=6808")?;
    let language = spoken().find(|language| language.name() == name).ok_or_else(|| {
        format!(
            "the language is {name:?}; it must be one of {}",
            spoken().map(config::Language::name).collect::<Vec<_>>().join(", ")
        )
    })?;
    let port = port
        .parse()
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| format!("the port is {port:?}; it must be 1 to 65535"))?;
    Ok((language, port))
}
