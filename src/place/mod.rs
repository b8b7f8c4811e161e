//! Where countries lie and how far apart, in whole kilometres, by integers alone: the same on every machine. Knows no event.

mod countries;

use countries::COUNTRIES;

/// Mean radius of the earth.
const RADIUS_KM: i128 = 6_371;
/// No two points are further apart than half of a circle around the earth.
const DISTANCE_MAX_KM: i64 = 20_016;

/// Fractions of sines and of angles in radians.
const BITS: u32 = 60;
/// π in that fraction.
const PI: i128 = 3_622_009_729_038_561_421;

/// A country of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Country(u16);

impl Country {
    /// The country of an ISO 3166-1 alpha-2 code in capitals.
    pub fn from_code(code: &str) -> Option<Country> {
        COUNTRIES
            .binary_search_by(|(known, ..)| (*known).cmp(code))
            .ok()
            .and_then(|at| u16::try_from(at).ok())
            .map(Country)
    }

    /// All countries of the table, by code.
    pub fn all() -> impl Iterator<Item = (&'static str, Country)> {
        COUNTRIES.iter().zip(0u16..).map(|((code, ..), at)| (*code, Country(at)))
    }

    /// Latitude north and longitude east of the middle of the country, in hundredths of a degree.
    pub fn middle(self) -> (i16, i16) {
        COUNTRIES.get(usize::from(self.0)).map_or((0, 0), |(_, north, east)| (*north, *east))
    }

    /// Kilometres between the middles of two countries along the surface of a sphere, rounded.
    pub fn distance_km(self, other: Country) -> i64 {
        if self == other {
            return 0;
        }
        let (a, b) = (self.middle(), other.middle());
        let north = i128::from(a.0) - i128::from(b.0);
        let east = i128::from(a.1) - i128::from(b.1);
        // Haversine: the square of half the chord. Half of an angle in hundredths of a degree is the same number of half
        // hundredths.
        let squared = |sine: i128| (sine * sine) >> BITS;
        let parallels = (cosine(a.0) * cosine(b.0)) >> BITS;
        let chord = squared(sine(radians(north))) + ((parallels * squared(sine(radians(east)))) >> BITS);
        // The greatest distance whose lower rounding bound is not beyond the chord.
        let (mut at_most, mut beyond) = (0, DISTANCE_MAX_KM + 1);
        while beyond - at_most > 1 {
            let middle = at_most + (beyond - at_most) / 2;
            let half_angle = ((2 * i128::from(middle) - 1) << BITS) / (4 * RADIUS_KM);
            if half_angle <= PI / 2 && squared(sine(half_angle)) <= chord { at_most = middle } else { beyond = middle }
        }
        at_most
    }
}

/// Half hundredths of a degree in radians.
fn radians(half_hundredths: i128) -> i128 {
    half_hundredths * PI / 36_000
}

fn cosine(hundredths: i16) -> i128 {
    sine(PI / 2 - radians(2 * i128::from(hundredths)))
}

/// The sine of an angle from -π to π, by its series.
fn sine(angle: i128) -> i128 {
    let square = (angle * angle) >> BITS;
    let (mut term, mut sum, mut n) = (angle, 0, 1);
    while term != 0 && n < 64 {
        sum += term;
        term = -((term * square) >> BITS) / ((n + 1) * (n + 2));
        n += 2;
    }
    sum
}
