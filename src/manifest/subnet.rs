//! Address ranges: the addresses that they contain, and their overlaps.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// An address range, as its first address and the length of its common prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    first: IpAddr,
    length: u8,
}

impl Range {
    /// Returns the range with this prefix length that contains the address.
    fn around(address: IpAddr, length: u8) -> Option<Self> {
        let shift = width(address).checked_sub(length)?;
        let kept = shifted_down(bits(address), shift);
        let first = with_bits(address, shifted_up(kept, shift));
        Some(Self { first, length })
    }

    pub fn first(self) -> IpAddr {
        self.first
    }

    /// Returns the second address.
    pub fn second(self) -> Option<IpAddr> {
        let next = bits(self.first).checked_add(1)?;
        Some(with_bits(self.first, next)).filter(|it| self.contains(*it))
    }

    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4()
            && Self::around(address, self.length) == Some(self)
    }

    /// Returns whether the two ranges share an address.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// Returns whether the other range is completely inside this one.
    pub fn covers(self, other: Self) -> bool {
        self.length <= other.length && self.contains(other.first)
    }

    /// Returns whether no host can have the address: the network's own address, or the broadcast
    /// address.
    pub fn is_reserved(self, address: IpAddr) -> bool {
        let last = self.after().map(|after| bits(after.first).wrapping_sub(1));
        let is_edge = address == self.first || Some(bits(address)) == last;
        address.is_ipv4() && self.length <= 30 && is_edge
    }

    /// Returns the next range of the same size.
    pub fn after(self) -> Option<Self> {
        let shift = width(self.first) - self.length;
        let size = shifted_up(1, shift);
        let next = bits(self.first)
            .checked_add(size)
            .filter(|next| size > 0 && shifted_down(*next, width(self.first)) == 0)?;
        let first = with_bits(self.first, next);
        Some(Self { first, ..self })
    }

    pub fn is_ipv4(self) -> bool {
        self.first.is_ipv4()
    }
}

/// Accepts any address of the range before the slash.
impl FromStr for Range {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, length) = text.split_once('/').ok_or(())?;
        let plain = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        let length = length.parse().ok().filter(|_| plain).ok_or(())?;
        Self::around(address.parse().map_err(drop)?, length).ok_or(())
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn with_bits(kind: IpAddr, bits: u128) -> IpAddr {
    match kind {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX))),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(bits)),
    }
}

/// Returns 0 if all bits are shifted out.
fn shifted_up(bits: u128, by: u8) -> u128 {
    bits.checked_shl(by.into()).unwrap_or(0)
}

fn shifted_down(bits: u128, by: u8) -> u128 {
    bits.checked_shr(by.into()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Range {
        text.parse().expect(text)
    }

    #[test]
    fn range_contains_only_its_addresses() {
        let lan = range("10.20.0.7/16");
        assert_eq!(lan.to_string(), "10.20.0.0/16");
        assert_eq!(range("fd12::5/64").to_string(), "fd12::/64");
        for (address, inside) in [
            ("10.20.255.1", true),
            ("10.21.0.0", false),
            ("::10.20.0.1", false),
        ] {
            assert_eq!(lan.contains(address.parse().unwrap()), inside, "{address}");
        }
        assert!(range("0.0.0.0/0").contains("1.2.3.4".parse().unwrap()));
        assert!(range("::/0").contains("fd12::1".parse().unwrap()));
        for bad in [
            "10.20.0.0",
            "10.20.0.0/33",
            "10.20/16",
            "fd12::/129",
            "10.0.0.0/+8",
            "/8",
        ] {
            assert!(bad.parse::<Range>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges_sharing_an_address_overlap() {
        let overlap = |a: &str, b: &str| {
            assert_eq!(range(a).overlaps(range(b)), range(b).overlaps(range(a)));
            range(a).overlaps(range(b))
        };
        assert!(overlap("10.20.0.0/16", "10.20.7.0/24"));
        assert!(overlap("10.20.0.0/24", "10.20.0.0/24"));
        assert!(!overlap("10.20.0.0/24", "10.20.1.0/24"));
        assert!(!overlap("0.0.0.0/0", "::/0"));
        assert!(range("10.20.0.0/16").covers(range("10.20.7.0/24")));
        assert!(!range("10.20.7.0/24").covers(range("10.20.0.0/16")));
    }

    #[test]
    fn range_edges_are_reserved_in_ipv4() {
        let reserved =
            |text: &str, address: &str| range(text).is_reserved(address.parse().unwrap());
        assert!(reserved("10.20.0.0/24", "10.20.0.0"));
        assert!(reserved("10.20.0.0/24", "10.20.0.255"));
        assert!(!reserved("10.20.0.0/24", "10.20.0.1"));
        assert!(!reserved("10.20.0.0/31", "10.20.0.0"));
        assert!(!reserved("fd12::/64", "fd12::"));
    }

    #[test]
    fn range_after_last_is_none() {
        let after = |text: &str| range(text).after().map(|range| range.to_string());
        assert_eq!(after("10.20.0.0/24").as_deref(), Some("10.20.1.0/24"));
        assert_eq!(after("fd12::/64").as_deref(), Some("fd12:0:0:1::/64"));
        assert_eq!(after("255.255.255.0/24"), None);
        assert_eq!(after("0.0.0.0/0"), None);
        assert_eq!(after("::/0"), None);
        assert_eq!(after("ffff::/16"), None);
    }
}
