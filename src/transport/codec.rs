//! The protobuf codec.
//!
//! The codec differs from tonic's own in two ways:
//!
//! * Bytes that are no message of the type (a text that is not UTF-8, for example) are the caller's
//!   mistake. The answer is `INVALID_ARGUMENT`, not `INTERNAL`.
//! * The tokens of `ValidateTokens` are counted before they are decoded. 4 MiB of empty tokens would
//!   otherwise become 100 MiB of memory before they are refused.

use std::any::TypeId;
use std::marker::PhantomData;

use bytes::Buf;
use prost::Message;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use tonic::Status;
use tonic::codec::{Codec as TonicCodec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstEncoder};

use super::fault;
use super::grpc::{MAX_TOKENS, too_many_tokens};
use super::proto::v1::ValidateTokensRequest;

/// The number of the field `tokens` in `ValidateTokensRequest`.
const TOKENS_FIELD: u32 = 1;

/// A codec that encodes `T` and decodes `U`.
#[derive(Debug)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> TonicCodec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = StrictDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        StrictDecoder(PhantomData)
    }
}

/// A decoder of `U`.
#[derive(Debug)]
pub struct StrictDecoder<U>(PhantomData<U>);

impl<U: Message + Default + 'static> Decoder for StrictDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        if TypeId::of::<U>() == TypeId::of::<ValidateTokensRequest>()
            && count_tokens(bytes.chunk()) > MAX_TOKENS
        {
            return Err(too_many_tokens());
        }
        // The cause is left out because it can quote the request.
        U::decode(bytes).map(Some).map_err(|_| fault::undecodable())
    }
}

/// Counts the tokens of a `ValidateTokensRequest` without decoding them. Stops at the first byte that
/// cannot be read, which decoding will report.
pub(super) fn count_tokens(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while bytes.has_remaining() && count <= MAX_TOKENS {
        let Ok((field, wire_type)) = decode_key(&mut bytes) else { break };
        if skip_field(wire_type, field, &mut bytes, DecodeContext::default()).is_err() {
            break;
        }
        count += usize::from(field == TOKENS_FIELD);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_counted_without_decoding() {
        let request = |count| ValidateTokensRequest {
            tokens: vec!["a".repeat(200); count],
            audience: "api".into(),
        };
        for count in [0, 1, MAX_TOKENS] {
            assert_eq!(count_tokens(&request(count).encode_to_vec()), count);
        }
        assert!(count_tokens(&request(3 * MAX_TOKENS).encode_to_vec()) > MAX_TOKENS);
        assert_eq!(count_tokens(&[0x0a, 0, 0x0a, 200]), 1, "the second token is cut off");
        assert_eq!(count_tokens(&[0xff; 20]), 0);
    }
}
