//! Dots as a PNG file (RFC 2083): eight bits each of red, green and blue, one compressed block.

use std::io::Write as _;

use flate2::{Compression, Crc, write::ZlibEncoder};

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
/// Eight bits, true colour, deflate, adaptive filters, not interlaced.
const KIND: [u8; 5] = [8, 2, 0, 0, 0];

/// The file of these dots, three bytes each, in rows of `width`.
pub(super) fn encode(width: u32, dots: &[u8]) -> Vec<u8> {
    let row = 3 * width as usize;
    let height = u32::try_from(dots.len() / row.max(1)).unwrap_or(0);
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    let mut packed = Vec::new();
    for line in dots.chunks_exact(row.max(1)) {
        // Each row as differences from the dot to the left, which compresses best where most is one colour.
        packed.clear();
        packed.push(1);
        packed.extend(
            line.iter()
                .enumerate()
                .map(|(at, byte)| byte.wrapping_sub(at.checked_sub(3).map_or(0, |before| line[before]))),
        );
        // Writing to memory cannot fail.
        let _ = encoder.write_all(&packed);
    }
    let mut header = Vec::from(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend(KIND);
    let mut file = Vec::from(SIGNATURE);
    chunk(&mut file, *b"IHDR", &header);
    chunk(&mut file, *b"IDAT", &encoder.finish().unwrap_or_default());
    chunk(&mut file, *b"IEND", &[]);
    file
}

fn chunk(file: &mut Vec<u8>, kind: [u8; 4], bytes: &[u8]) {
    file.extend(u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
    let mut crc = Crc::new();
    for part in [&kind[..], bytes] {
        crc.update(part);
        file.extend(part);
    }
    file.extend(crc.sum().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_file_gives_the_dots_back() {
        let dots: Vec<u8> = (0..3 * 5 * 4).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
        let file = encode(5, &dots);
        assert_eq!(file[..8], SIGNATURE);
        let mut rest = &file[8..];
        let mut unpacked = Vec::new();
        let mut kinds = Vec::new();
        while !rest.is_empty() {
            let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
            let (kind, body) = (&rest[4..8], &rest[8..8 + length]);
            let mut crc = Crc::new();
            crc.update(&rest[4..8 + length]);
            assert_eq!(crc.sum().to_be_bytes(), rest[8 + length..12 + length]);
            if kind == b"IHDR" {
                assert_eq!(body, [0, 0, 0, 5, 0, 0, 0, 4, 8, 2, 0, 0, 0]);
            }
            if kind == b"IDAT" {
                flate2::read::ZlibDecoder::new(body).read_to_end(&mut unpacked).unwrap();
            }
            kinds.push(String::from_utf8(kind.to_vec()).unwrap());
            rest = &rest[12 + length..];
        }
        assert_eq!(kinds, ["IHDR", "IDAT", "IEND"]);
        for (line, found) in dots.chunks(15).zip(unpacked.chunks(16)) {
            assert_eq!(found[0], 1);
            let mut row = found[1..].to_vec();
            for at in 3..15 {
                row[at] = row[at].wrapping_add(row[at - 3]);
            }
            assert_eq!(row, line);
        }
    }
}
