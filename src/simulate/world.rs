//! Countries, networks and addresses. Addresses are from spaces that are reserved for documentation, tests, carriers or the
//! future, and numbers of operators from the private range: none of them is anybody's.

use std::fmt::Write as _;

use super::draw::Draw;

/// A country as this world knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Country {
    /// ISO 3166.
    pub(super) code: &'static str,
    /// Hours before UTC.
    pub(super) utc_offset: i64,
    /// What browsers there ask for.
    pub(super) language: &'static str,
    /// Rule of the grammar with its language; English where there is none.
    pub(super) tongue: &'static str,
    /// Its share of people.
    pub(super) share: u32,
}

const fn country(
    code: &'static str,
    utc_offset: i64,
    language: &'static str,
    tongue: &'static str,
    share: u32,
) -> Country {
    Country { code, utc_offset, language, tongue, share }
}

/// Countries in which the service is offered. Shares are assumed.
pub(super) const COUNTRIES: [Country; 30] = [
    country("US", -6, "en-US", "", 190),
    country("GB", 0, "en-GB", "", 60),
    country("DE", 1, "de-DE", "de", 60),
    country("FR", 1, "fr-FR", "fr", 46),
    country("ES", 1, "es-ES", "es", 28),
    country("IT", 1, "it-IT", "it", 26),
    country("NL", 1, "nl-NL", "nl", 20),
    country("SE", 1, "sv-SE", "sv", 12),
    country("PL", 1, "pl-PL", "pl", 22),
    country("PT", 0, "pt-PT", "pt", 10),
    country("CH", 1, "de-CH", "de", 12),
    country("AT", 1, "de-AT", "de", 9),
    country("UA", 2, "uk-UA", "uk", 10),
    country("TR", 3, "tr-TR", "tr", 20),
    country("IN", 5, "en-IN", "hi", 110),
    country("ID", 7, "id-ID", "id", 28),
    country("VN", 7, "vi-VN", "vi", 24),
    country("PH", 8, "en-PH", "", 22),
    country("SG", 8, "en-SG", "", 14),
    country("JP", 9, "ja-JP", "ja", 52),
    country("KR", 9, "en-KR", "", 24),
    country("AU", 10, "en-AU", "", 24),
    country("NZ", 12, "en-NZ", "", 6),
    country("CA", -5, "en-CA", "", 36),
    country("MX", -6, "es-MX", "es", 24),
    country("BR", -3, "pt-BR", "pt", 58),
    country("AR", -3, "es-AR", "es", 14),
    country("CO", -5, "es-CO", "es", 11),
    country("ZA", 2, "en-ZA", "", 11),
    country("NG", 1, "en-NG", "", 11),
];

/// Countries in which it is not, as in the list that is written beside the events.
pub(super) const UNSUPPORTED: [Country; 9] = [
    country("CN", 8, "zh-CN", "", 60),
    country("HK", 8, "zh-HK", "", 14),
    country("RU", 3, "ru-RU", "", 40),
    country("BY", 3, "ru-BY", "", 6),
    country("IR", 3, "fa-IR", "", 12),
    country("KP", 9, "ko-KP", "", 1),
    country("SY", 3, "ar-SY", "", 3),
    country("CU", -5, "es-CU", "es", 2),
    country("VE", -4, "es-VE", "es", 5),
];

/// What kind of network an address is in, in the words of the event field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Residential,
    Mobile,
    Office,
    Hosting,
    Vpn,
}

impl Kind {
    /// As events say it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Residential | Kind::Office => "residential",
            Kind::Mobile => "cgnat",
            Kind::Hosting => "hosting",
            Kind::Vpn => "vpn",
        }
    }
}

/// A place from which somebody calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The address.
    pub(super) ip: String,
    /// The country of the address.
    pub(super) country: &'static str,
    /// The operator.
    pub(super) asn: i64,
    /// The kind of network.
    pub(super) kind: Kind,
}

/// Clouds: name, operator, and the countries of their regions.
pub(super) const CLOUDS: [(&str, i64, [&str; 4]); 7] = [
    ("stratus", 64_600, ["US", "DE", "SG", "JP"]),
    ("cumulo", 64_601, ["US", "NL", "JP", "AU"]),
    ("nimbra", 64_602, ["US", "FR", "IN", "BR"]),
    ("altona", 64_603, ["DE", "DE", "SE", "US"]),
    ("cirrhost", 64_604, ["US", "GB", "SG", "CA"]),
    ("veloserv", 64_605, ["NL", "US", "JP", "GB"]),
    ("bluedrop", 64_606, ["US", "DE", "IN", "AU"]),
];
/// Networks of 256 addresses that each cloud has.
pub(super) const CLOUD_NETWORKS: u32 = 64;
/// Networks of 256 addresses of VPNs.
const VPN_NETWORKS: u32 = 64;

const CLOUD_BASE: u32 = 198 << 24 | 18 << 16;
const VPN_BASE: u32 = 198 << 24 | 19 << 16 | 192 << 8;
const CARRIER_BASE: u32 = 100 << 24 | 64 << 16;
const HOME_BASE: u32 = 240 << 24;

fn v4(address: u32) -> String {
    std::net::Ipv4Addr::from_bits(address).to_string()
}

fn number(country: Country) -> u32 {
    let all = COUNTRIES.iter().chain(&UNSUPPORTED);
    all.clone().position(|c| c.code == country.code).unwrap_or(0) as u32
}

/// A country in which the service is offered, by its share.
pub(super) fn somewhere(draw: &mut Draw) -> Country {
    by_share(&COUNTRIES, draw)
}

/// A country in which it is not.
pub(super) fn nowhere(draw: &mut Draw) -> Country {
    by_share(&UNSUPPORTED, draw)
}

fn by_share(from: &[Country], draw: &mut Draw) -> Country {
    let at = draw.weighted(from.iter().map(|c| f64::from(c.share)));
    from.get(at).copied().unwrap_or_default()
}

/// The country with this code.
pub(super) fn named(code: &str) -> Country {
    COUNTRIES.iter().chain(&UNSUPPORTED).find(|c| c.code == code).copied().unwrap_or_default()
}

/// A connection at home: IPv4, or a network of IPv6 of its own for one in five.
pub(super) fn home(country: Country, draw: &mut Draw) -> Place {
    let number = number(country);
    let operator = draw.below(4) as i64;
    let asn = 4_200_000_000 + i64::from(number) * 16 + operator;
    let ip = if draw.chance(0.2) {
        let site = number << 10 | draw.below(1_024) as u32;
        format!("2001:db8:{site:x}:{:x}::{:x}", draw.below(256), 1 + draw.below(65_000))
    } else {
        // 4,096 networks a country, an operator each quarter of them.
        let network = (operator as u32) << 10 | draw.below(1_024) as u32;
        v4(HOME_BASE + (number << 20) + (network << 8) + 1 + draw.below(254) as u32)
    };
    Place { ip, country: country.code, asn, kind: Kind::Residential }
}

/// The address behind which an office or campus stands: one for all of it, always IPv4.
pub(super) fn office(country: Country, draw: &mut Draw) -> Place {
    let mut place = home(country, draw);
    if place.ip.contains(':') {
        let address =
            HOME_BASE + (number(country) << 20) + ((draw.below(4_096) as u32) << 8) + 1 + draw.below(254) as u32;
        place.ip = v4(address);
    }
    place.kind = Kind::Office;
    place
}

/// An address of a mobile carrier, which thousands of customers have at the same time.
pub(super) fn mobile(country: Country, draw: &mut Draw) -> Place {
    let number = number(country);
    let carrier = draw.below(3) as u32;
    let ip = v4(CARRIER_BASE + (number << 16) + (carrier << 8) + 1 + draw.below(6) as u32);
    Place { ip, country: country.code, asn: 4_200_100_000 + i64::from(number * 4 + carrier), kind: Kind::Mobile }
}

/// One of a cloud's networks; the same numbers give the same network.
pub(super) fn cloud(cloud: usize, network: u32, draw: &mut Draw) -> Place {
    let cloud = cloud % CLOUDS.len();
    let network = network % CLOUD_NETWORKS;
    let (_, asn, regions) = CLOUDS.get(cloud).copied().unwrap_or_default();
    let ip = v4(CLOUD_BASE + (cloud as u32 * CLOUD_NETWORKS + network) * 256 + 1 + draw.below(254) as u32);
    let country = regions.get(network as usize % regions.len()).copied().unwrap_or_default();
    Place { ip, country, asn, kind: Kind::Hosting }
}

/// Any network of any cloud.
pub(super) fn any_cloud(draw: &mut Draw) -> Place {
    let (which, network) = (draw.below(CLOUDS.len()), draw.below(CLOUD_NETWORKS as usize) as u32);
    cloud(which, network, draw)
}

/// An exit of a VPN.
pub(super) fn vpn(draw: &mut Draw) -> Place {
    let network = draw.below(VPN_NETWORKS as usize) as u32;
    let exits = ["NL", "US", "JP", "SG", "DE", "GB", "SE", "CA"];
    Place {
        ip: v4(VPN_BASE + network * 256 + 1 + draw.below(254) as u32),
        country: exits.get(network as usize % exits.len()).copied().unwrap_or_default(),
        asn: 64_700 + i64::from(network % 5),
        kind: Kind::Vpn,
    }
}

/// The networks of clouds, as the list is read: address range, name, operator.
pub(super) fn cloud_list() -> String {
    let mut out = String::from("cidr,provider,asn\n");
    for (at, (name, asn, _)) in CLOUDS.iter().enumerate() {
        let base = CLOUD_BASE + at as u32 * CLOUD_NETWORKS * 256;
        let _ = writeln!(out, "{}/18,{name},{asn}", v4(base));
    }
    out
}

/// The networks of VPNs, as the list is read.
pub(super) fn vpn_list() -> String {
    format!("{}/18\n", v4(VPN_BASE))
}

#[cfg(test)]
mod tests {
    use super::{COUNTRIES, UNSUPPORTED, any_cloud, home, mobile, vpn};
    use crate::simulate::draw::Draw;

    #[test]
    fn every_address_is_reserved() {
        let mut draw = Draw::of(1, "addresses", &[]);
        for country in COUNTRIES.iter().chain(&UNSUPPORTED).copied() {
            for place in [home(country, &mut draw), mobile(country, &mut draw), any_cloud(&mut draw), vpn(&mut draw)] {
                let reserved = match place.ip.parse::<std::net::IpAddr>().unwrap() {
                    std::net::IpAddr::V4(ip) => {
                        let [a, b, ..] = ip.octets();
                        a >= 240 || (a == 198 && (18..20).contains(&b)) || (a == 100 && (64..128).contains(&b))
                    }
                    std::net::IpAddr::V6(ip) => ip.segments()[..2] == [0x2001, 0xdb8],
                };
                assert!(reserved, "{place:?}");
            }
        }
    }
}
