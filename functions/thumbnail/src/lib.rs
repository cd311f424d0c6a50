//! Shrinks a JPEG or PNG to a PNG that fits into a box.
//!
//! The image is the body of the request; `?width=` and `?height=` bound the result, whose shape
//! stays that of the original. What is decoded is bounded before it is decoded, so a small file
//! that claims to be huge costs nothing. Never enlarges.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use mayfly_sdk::http::{Request, Response, StatusCode, header};
use mayfly_sdk::{RequestExt, handler};

/// Box around the result when the request does not say, in pixels.
const SIDE_DEFAULT: u32 = 128;
/// Longest side that can be asked for, in pixels.
const SIDE_MAX: u32 = 2_000;
/// Longest side of an original, in pixels.
const ORIGINAL_SIDE_MAX: u32 = 10_000;
/// Memory for one decoded image: 32 megapixels in RGB, which leaves room in 256 MB for a second
/// buffer of the same size.
const DECODED_BYTES_MAX: u64 = 96 << 20;

/// Why there is no thumbnail, as a status and words for whoever sent the request.
#[derive(Debug, PartialEq)]
struct Refusal(StatusCode, String);

/// Answers with the thumbnail, or with the reason why there is none.
#[handler]
fn thumbnail(request: Request<Vec<u8>>) -> Response<Vec<u8>> {
    let (status, content_type, body) = match shrink(&request) {
        Ok(png) => (StatusCode::OK, "image/png", png),
        Err(Refusal(status, reason)) => (
            status,
            "text/plain; charset=utf-8",
            format!("{reason}\n").into_bytes(),
        ),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let content_type = header::HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

fn shrink(request: &Request<Vec<u8>>) -> Result<Vec<u8>, Refusal> {
    let (width, height) = match (side(request, "width")?, side(request, "height")?) {
        (None, None) => (SIDE_DEFAULT, SIDE_DEFAULT),
        (width, height) => (width.unwrap_or(SIDE_MAX), height.unwrap_or(SIDE_MAX)),
    };
    if request.body().is_empty() {
        return Err(bad_request("send a JPEG or PNG as the body".to_owned()));
    }
    let original = decode(request.body()).map_err(|error| refusal(&error))?;
    let fits = original.width() <= width && original.height() <= height;
    let small = if fits {
        original
    } else {
        original.thumbnail(width, height)
    };

    let mut png = Cursor::new(Vec::new());
    small
        .write_to(&mut png, ImageFormat::Png)
        .map_err(|error| refusal(&error))?;
    Ok(png.into_inner())
}

/// One bound of the result, if the query has it.
fn side(request: &Request<Vec<u8>>, name: &str) -> Result<Option<u32>, Refusal> {
    let Some(text) = request.query(name) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(side) if (1..=SIDE_MAX).contains(&side) => Ok(Some(side)),
        _ => Err(bad_request(format!(
            "`{name}` is `{text}`; it must be 1 to {SIDE_MAX} pixels"
        ))),
    }
}

/// Decodes within the limits, the right way up.
fn decode(bytes: &[u8]) -> Result<DynamicImage, ImageError> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(ORIGINAL_SIDE_MAX);
    limits.max_image_height = Some(ORIGINAL_SIDE_MAX);
    limits.max_alloc = Some(DECODED_BYTES_MAX);

    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    // The decoder knows the size by now and reserves nothing by itself.
    limits.reserve(decoder.total_bytes())?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(image)
}

fn refusal(error: &ImageError) -> Refusal {
    match error {
        ImageError::Limits(_) => Refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "the image is too large: at most {ORIGINAL_SIDE_MAX} pixels a side and \
                 {DECODED_BYTES_MAX} bytes decoded"
            ),
        ),
        ImageError::Unsupported(_) => Refusal(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body is neither a JPEG nor a PNG".to_owned(),
        ),
        error => bad_request(format!("the image cannot be read: {error}")),
    }
}

fn bad_request(reason: String) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, reason)
}

#[cfg(test)]
mod tests {
    use image::{GenericImageView, Rgb, RgbImage};

    use super::*;

    fn picture(format: ImageFormat, width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let picture = RgbImage::from_pixel(width, height, Rgb([200, 30, 30]));
        DynamicImage::from(picture)
            .write_to(&mut bytes, format)
            .unwrap();
        bytes.into_inner()
    }

    fn post(target: &str, body: Vec<u8>) -> Response<Vec<u8>> {
        thumbnail(Request::post(target).body(body).unwrap())
    }

    #[track_caller]
    fn check_size(target: &str, body: Vec<u8>, expected: (u32, u32)) {
        let response = post(target, body);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "image/png");
        let image = image::load_from_memory(response.body()).unwrap();
        assert_eq!(image.dimensions(), expected);
    }

    #[track_caller]
    fn check_refused(target: &str, body: Vec<u8>, status: u16, reason: &str) {
        let response = post(target, body);
        assert_eq!(response.status().as_u16(), status);
        let text = String::from_utf8(response.into_body()).unwrap();
        assert!(text.contains(reason), "{text}");
    }

    #[test]
    fn the_result_fits_the_box_and_keeps_its_shape() {
        check_size(
            "/thumbnail",
            picture(ImageFormat::Jpeg, 400, 200),
            (128, 64),
        );
        check_size(
            "/thumbnail?width=50",
            picture(ImageFormat::Png, 400, 200),
            (50, 25),
        );
        check_size(
            "/thumbnail?height=50",
            picture(ImageFormat::Png, 400, 200),
            (100, 50),
        );
        check_size(
            "/thumbnail?width=9&height=9",
            picture(ImageFormat::Jpeg, 30, 90),
            (3, 9),
        );
    }

    #[test]
    fn a_small_image_is_not_enlarged() {
        check_size(
            "/thumbnail?width=500",
            picture(ImageFormat::Png, 20, 10),
            (20, 10),
        );
    }

    #[test]
    fn bad_bounds_are_refused_by_name() {
        for bad in ["0", "2001", "-1", "x", ""] {
            check_refused(&format!("/thumbnail?width={bad}"), vec![1], 400, "`width`");
        }
    }

    #[test]
    fn what_is_no_image_is_refused_with_the_reason() {
        check_refused("/thumbnail", Vec::new(), 400, "send a JPEG or PNG");
        check_refused(
            "/thumbnail",
            b"GIF89a...".to_vec(),
            415,
            "neither a JPEG nor a PNG",
        );
        let mut cut = picture(ImageFormat::Png, 40, 40);
        cut.truncate(60);
        check_refused("/thumbnail", cut, 400, "cannot be read");
    }

    #[test]
    fn an_image_that_claims_to_be_huge_is_refused_before_it_is_decoded() {
        let mut claim = picture(ImageFormat::Png, 4, 4);
        // Width and height in the header, then its checksum.
        claim[16..24].copy_from_slice(&[0, 0, 0x26, 0, 0, 0, 0x26, 0]);
        let crc = crc32(&claim[12..29]).to_be_bytes();
        claim[29..33].copy_from_slice(&crc);
        check_refused("/thumbnail", claim, 413, "too large");
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                if crc & 1 == 1 {
                    (crc >> 1) ^ 0xedb8_8320
                } else {
                    crc >> 1
                }
            })
        })
    }
}
