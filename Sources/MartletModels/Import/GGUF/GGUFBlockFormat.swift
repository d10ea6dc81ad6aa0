import MartletTensor
import MartletWire

/// How a GGUF tensor's elements are stored: plain, or in blocks of small integers with scales (llama.cpp's formats).
enum GGUFBlockFormat: UInt32, Sendable {
    case float32 = 0
    case float16 = 1
    case q4_0 = 2
    case q4_1 = 3
    case q5_0 = 6
    case q5_1 = 7
    case q8_0 = 8
    case q2_k = 10
    case q3_k = 11
    case q4_k = 12
    case q5_k = 13
    case q6_k = 14
    case bfloat16 = 30

    /// Elements of a block.
    var elements: Int {
        switch self {
        case .float32, .float16, .bfloat16: 1
        case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0: 32
        case .q2_k, .q3_k, .q4_k, .q5_k, .q6_k: 256
        }
    }

    /// Bytes of a block.
    var bytes: Int {
        switch self {
        case .float32: 4
        case .float16, .bfloat16: 2
        case .q4_0: 18
        case .q4_1: 20
        case .q5_0: 22
        case .q5_1: 24
        case .q8_0: 34
        case .q2_k: 84
        case .q3_k: 110
        case .q4_k: 144
        case .q5_k: 176
        case .q6_k: 210
        }
    }

    var isQuantized: Bool { elements > 1 }

    /// The type that `decode` gives.
    var storedType: ScalarType {
        switch self {
        case .float16: .float16
        case .bfloat16: .bfloat16
        default: .float32
        }
    }

    /// Turns whole blocks into numbers of `storedType`.
    func decode(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) throws {
        guard isQuantized else {
            guard source.count == target.count else { throw GGUFReader.fault("a tensor's bytes do not fit its shape") }
            return target.copyMemory(from: source)
        }
        let floats = target.bindMemory(to: Float.self)
        let count = source.count / bytes
        guard floats.count == count * elements, source.count == count * bytes else {
            throw GGUFReader.fault("a tensor's blocks do not fit its shape")
        }
        for index in 0..<count {
            let block = UnsafeRawBufferPointer(rebasing: source[index * bytes..<(index + 1) * bytes])
            let out = UnsafeMutableBufferPointer(rebasing: floats[index * elements..<(index + 1) * elements])
            decodeBlock(block, out)
        }
    }

    private func decodeBlock(_ block: UnsafeRawBufferPointer, _ out: UnsafeMutableBufferPointer<Float>) {
        switch self {
        case .q4_0: nibbles(block, out, at: 2, high: nil, shift: -8 * half(block, 0))
        case .q4_1: nibbles(block, out, at: 4, high: nil, shift: half(block, 2))
        case .q5_0: nibbles(block, out, at: 6, high: 2, shift: -16 * half(block, 0))
        case .q5_1: nibbles(block, out, at: 8, high: 4, shift: half(block, 2))
        case .q8_0:
            let scale = half(block, 0)
            for i in 0..<32 { out[i] = scale * Float(Int8(bitPattern: block[2 + i])) }
        case .q2_k: q2(block, out)
        case .q3_k: q3(block, out)
        case .q4_k: q4(block, out)
        case .q5_k: q5(block, out)
        case .q6_k: q6(block, out)
        case .float32, .float16, .bfloat16: break
        }
    }

    private func half(_ block: UnsafeRawBufferPointer, _ offset: Int) -> Float {
        GGUFBlockFormat.half(UInt16(block[offset]) | UInt16(block[offset + 1]) << 8)
    }

    /// 32 numbers whose low four bits lie in 16 bytes, first the lower halves, and whose fifth bits in four bytes.
    private func nibbles(
        _ block: UnsafeRawBufferPointer, _ out: UnsafeMutableBufferPointer<Float>, at start: Int, high: Int?,
        shift: Float
    ) {
        let scale = half(block, 0)
        for i in 0..<32 {
            let byte = block[start + i % 16]
            var q = i < 16 ? byte & 15 : byte >> 4
            if let high { q |= (block[high + i / 8] >> UInt8(i % 8) & 1) << 4 }
            out[i] = scale * Float(q) + shift
        }
    }

    private func q2(_ block: UnsafeRawBufferPointer, _ out: UnsafeMutableBufferPointer<Float>) {
        let (scale, low) = (half(block, 80), half(block, 82))
        for i in 0..<256 {
            let q = block[16 + i / 128 * 32 + i % 32] >> UInt8(i % 128 / 32 * 2) & 3
            let packed = block[i / 16]
            out[i] = scale * Float(packed & 15) * Float(q) - low * Float(packed >> 4)
        }
    }

    private func q3(_ block: UnsafeRawBufferPointer, _ out: UnsafeMutableBufferPointer<Float>) {
        let scale = half(block, 108)
        for i in 0..<256 {
            let group = i / 16
            let low = group < 8 ? block[96 + group] & 15 : block[96 + group - 8] >> 4
            let high = block[104 + group % 4] >> UInt8(group / 4 * 2) & 3
            let q = Int(block[32 + i / 128 * 32 + i % 32] >> UInt8(i % 128 / 32 * 2) & 3)
            let isSet = block[i % 32] >> UInt8(i / 32) & 1 == 1
            out[i] = scale * Float(Int(low | high << 4) - 32) * Float(isSet ? q : q - 4)
        }
    }

    /// Scale and minimum of group 0 ... 7, six bits each, of Q4_K and Q5_K.
    private func sixBits(_ block: UnsafeRawBufferPointer, _ group: Int) -> (scale: UInt8, low: UInt8) {
        if group < 4 { return (block[4 + group] & 63, block[8 + group] & 63) }
        let rest = block[8 + group]
        return (rest & 15 | block[group] >> 2 & 48, rest >> 4 | block[4 + group] >> 2 & 48)
    }

    private func q4(_ block: UnsafeRawBufferPointer, _ out: UnsafeMutableBufferPointer<Float>) {
        let (scale, low) = (half(block, 0), half(block, 2))
        for group in 0..<8 {
            let six = sixBits(block, group)
            let (d, m) = (scale * Float(six.scale), low * Float(six.low))
            for i in 0..<32 {
                let q = block[16 + group / 2 * 32 + i] >> UInt8(group % 2 * 4) & 15
                out[group * 32 + i] = d * Float(q) - m
            }
        }
    }

    private func q5(_ block: UnsafeRawBufferPointer, _ out: UnsafeMutableBufferPointer<Float>) {
        let (scale, low) = (half(block, 0), half(block, 2))
        for group in 0..<8 {
            let six = sixBits(block, group)
            let (d, m) = (scale * Float(six.scale), low * Float(six.low))
            for i in 0..<32 {
                let q = block[48 + group / 2 * 32 + i] >> UInt8(group % 2 * 4) & 15
                let fifth = block[16 + i] >> UInt8(group) & 1
                out[group * 32 + i] = d * Float(q | fifth << 4) - m
            }
        }
    }

    private func q6(_ block: UnsafeRawBufferPointer, _ out: UnsafeMutableBufferPointer<Float>) {
        let scale = half(block, 208)
        for i in 0..<256 {
            let (part, inner) = (i / 128, i % 128)
            let low = block[part * 64 + inner % 64] >> UInt8(inner / 64 * 4) & 15
            let high = block[128 + part * 32 + inner % 32] >> UInt8(inner / 32 * 2) & 3
            let factor = scale * Float(Int8(bitPattern: block[192 + i / 16]))
            out[i] = factor * Float(Int(low | high << 4) - 32)
        }
    }

    /// A half-precision number from its bits; not every platform's Swift has the type.
    static func half(_ bits: UInt16) -> Float {
        let sign = UInt32(bits & 0x8000) << 16
        let (exponent, fraction) = (UInt32(bits >> 10 & 31), UInt32(bits & 1023))
        switch exponent {
        case 0:
            let value = Float(fraction) / 16_777_216
            return sign == 0 ? value : -value
        case 31: return Float(bitPattern: sign | 0x7F80_0000 | fraction << 13)
        default: return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
        }
    }
}
