//! Splits the engine's frames into lines. Bytes are joined first and decoded afterwards.

use bollard::container::LogOutput;

use crate::engine::{LogLine, Part};

/// A line that is longer than this many bytes is returned in parts.
const LONGEST: usize = 1 << 20;

/// The engine's buffer for one line, in bytes. A longer line arrives in pieces of this size.
const PIECE: usize = 16 << 10;

/// Joins the engine's frames into lines, each stream separately.
///
/// A frame is a line with its time in front. A line of more than 16 KiB arrives in pieces: only the
/// last piece has the line's end, and all pieces have the same time in front. A line without an end
/// is the last line of its start; the next start has a different time.
#[derive(Default)]
pub(super) struct Splitter {
    open: [Option<Open>; 2],
}

/// A line whose end has not arrived yet.
struct Open {
    time: String,
    bytes: Vec<u8>,
    /// Whether a part of the line was already returned.
    begun: bool,
}

impl Splitter {
    /// Returns the lines, and parts of lines, that this frame completes.
    pub fn take(&mut self, frame: LogOutput) -> Vec<LogLine> {
        let stderr = matches!(frame, LogOutput::StdErr { .. });
        let unframed = matches!(frame, LogOutput::Console { .. });
        let open = &mut self.open[usize::from(stderr)];
        let bytes = frame.into_bytes();
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (time, piece) = split_time(piece);
            if open.as_ref().is_some_and(|line| line.time != time) {
                lines.extend(open.take().map(|line| line.end(stderr)));
            }
            let line = open.get_or_insert_with(|| Open {
                time: time.to_owned(),
                bytes: Vec::new(),
                begun: false,
            });
            if unframed {
                line.join(piece);
            } else {
                line.bytes.extend_from_slice(piece);
            }
            while line.bytes.len() > LONGEST {
                lines.push(line.part(stderr));
            }
            if piece.ends_with(b"\n") {
                lines.extend(open.take().map(|line| line.end(stderr)));
            }
        }
        lines
    }

    /// Returns the lines without an end, when no more frames arrive.
    pub fn rest(&mut self) -> Vec<LogLine> {
        let open = self.open.iter_mut().enumerate();
        open.filter_map(|(stream, line)| Some(line.take()?.end(stream == 1)))
            .collect()
    }
}

impl Open {
    /// Appends a line of a terminal, in which only the repeated time separates the pieces.
    fn join(&mut self, mut piece: &[u8]) {
        let mark = format!("{} ", self.time).into_bytes();
        while piece.len() > PIECE {
            let found = piece[PIECE..]
                .windows(mark.len())
                .position(|window| window == mark);
            let Some(at) = found else { break };
            self.bytes.extend_from_slice(&piece[..PIECE + at]);
            piece = &piece[PIECE + at + mark.len()..];
        }
        self.bytes.extend_from_slice(piece);
    }

    /// Removes and returns a part of a line that is too long to be returned as one.
    fn part(&mut self, stderr: bool) -> LogLine {
        let rest = self.bytes.split_off(boundary(&self.bytes, LONGEST));
        let bytes = std::mem::replace(&mut self.bytes, rest);
        let part = if self.begun {
            Part::Middle
        } else {
            Part::First
        };
        self.begun = true;
        line(self.time.clone(), stderr, &bytes, part)
    }

    fn end(mut self, stderr: bool) -> LogLine {
        let part = if self.begun { Part::Last } else { Part::Whole };
        let end = self.bytes.iter().rposition(|byte| !b"\r\n".contains(byte));
        self.bytes.truncate(end.map_or(0, |last| last + 1));
        line(self.time, stderr, &self.bytes, part)
    }
}

fn line(time: String, stderr: bool, bytes: &[u8], part: Part) -> LogLine {
    LogLine {
        time,
        stderr,
        text: String::from_utf8_lossy(bytes).into_owned(),
        part,
    }
}

/// Returns the last position up to `at` that does not split a UTF-8 character.
fn boundary(bytes: &[u8], at: usize) -> usize {
    let is_inside = |index: usize| bytes.get(index).is_some_and(|byte| byte & 0xc0 == 0x80);
    (at.saturating_sub(3)..=at)
        .rev()
        .find(|index| !is_inside(*index))
        .unwrap_or(at)
}

/// Splits off the time that the engine puts in front, if there is one.
fn split_time(piece: &[u8]) -> (&str, &[u8]) {
    let time = piece.iter().position(|byte| *byte == b' ');
    let time = time.and_then(|end| str::from_utf8(&piece[..end]).ok());
    match time {
        Some(time) if time.len() >= 20 && time.as_bytes()[10] == b'T' => {
            (time, &piece[time.len() + 1..])
        }
        _ => ("", piece),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-01-02T03:04:05.000000001Z";
    const LATER: &str = "2026-01-02T03:04:05.000000003Z";

    fn frame(time: &str, text: &[u8]) -> Vec<u8> {
        [time.as_bytes(), b" ", text].concat()
    }

    fn out(time: &str, text: impl AsRef<[u8]>) -> LogOutput {
        LogOutput::StdOut {
            message: frame(time, text.as_ref()).into(),
        }
    }

    fn err(time: &str, text: &str) -> LogOutput {
        LogOutput::StdErr {
            message: frame(time, text.as_bytes()).into(),
        }
    }

    fn texts(lines: &[LogLine]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn frames_become_lines() {
        let mut splitter = Splitter::default();
        let lines = splitter.take(out(TIME, "one two\r\n"));
        let expected = LogLine {
            time: TIME.to_owned(),
            stderr: false,
            text: "one two".to_owned(),
            part: Part::Whole,
        };
        assert_eq!(lines, [expected]);
        assert_eq!(texts(&splitter.take(out(TIME, "\n"))), [""]);
    }

    #[test]
    fn line_in_two_frames_is_joined() {
        let mut splitter = Splitter::default();
        assert_eq!(splitter.take(out(TIME, "long\r")), []);
        assert_eq!(splitter.take(err(LATER, "other\n"))[0].text, "other");
        assert_eq!(splitter.take(out(TIME, "er\n"))[0].text, "long\rer");
        assert_eq!(splitter.rest(), []);
    }

    #[test]
    fn last_line_without_end_is_returned() {
        let mut splitter = Splitter::default();
        assert_eq!(splitter.take(out(TIME, "$ ")), []);
        assert_eq!(splitter.rest()[0].text, "$ ");
    }

    #[test]
    fn line_without_end_does_not_join_the_next_start() {
        let mut splitter = Splitter::default();
        assert_eq!(splitter.take(out(TIME, "going down")), []);
        let lines = splitter.take(out(LATER, "going up\n"));
        assert_eq!(texts(&lines), ["going down", "going up"]);
        assert_eq!(lines[1].time, LATER);
    }

    #[test]
    fn character_split_across_frames_stays_whole() {
        for character in ["ä", "€", "🦀"] {
            for cut in 1..character.len() {
                let mut splitter = Splitter::default();
                let (head, tail) = character.as_bytes().split_at(cut);
                assert_eq!(splitter.take(out(TIME, [b"x", head].concat())), []);
                let lines = splitter.take(out(TIME, [tail, b"\n"].concat()));
                assert_eq!(texts(&lines), [format!("x{character}")]);
            }
        }
    }

    #[test]
    fn invalid_utf8_is_replaced_in_one_line() {
        let mut splitter = Splitter::default();
        let lines = splitter.take(out(TIME, b"\xff\x00\x1b[0m\xc3\n"));
        assert_eq!(texts(&lines), ["\u{fffd}\0\u{1b}[0m\u{fffd}"]);
    }

    #[test]
    fn very_long_line_is_split_into_parts() {
        let mut splitter = Splitter::default();
        let whole = format!("x{}\n", "ä".repeat(3 << 19));
        let mut lines = Vec::new();
        for piece in whole.as_bytes().chunks(PIECE) {
            lines.extend(splitter.take(out(TIME, piece)));
        }
        let parts: Vec<Part> = lines.iter().map(|line| line.part).collect();
        assert_eq!(parts, [Part::First, Part::Middle, Part::Middle, Part::Last]);
        assert_eq!(texts(&lines).concat(), whole.trim_end());
        assert_eq!(splitter.take(out(TIME, "next\n"))[0].part, Part::Whole);
    }

    #[test]
    fn terminal_line_drops_times_between_pieces() {
        let piece = "x".repeat(PIECE);
        let written = format!("{TIME} {piece}{TIME} {piece}{TIME} {TIME} end\r\n");
        let mut splitter = Splitter::default();
        let lines = splitter.take(LogOutput::Console {
            message: written.into(),
        });
        assert_eq!(texts(&lines), [format!("{piece}{piece}{TIME} end")]);
    }
}
