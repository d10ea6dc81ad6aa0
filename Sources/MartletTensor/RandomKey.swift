import CKernels
import CTorch

/// What a stream of random numbers is for, drawn from nothing but these numbers: never from the order of calls, the
/// number of threads or what ran before. The generator is Philox 4×32-10 (Salmon et al., 2011).
public struct RandomKey: Sendable, Hashable {
    /// The recipe's seed.
    public var seed: UInt64
    /// What the numbers are for, such as dropout, initialization or shuffling.
    public var purpose: UInt32
    /// The training step or the epoch.
    public var step: UInt64
    /// Which of the things with the same purpose: a layer's number, a row, the hash of a parameter's name.
    public var stream: UInt64

    public init(seed: UInt64, purpose: UInt32, step: UInt64 = 0, stream: UInt64 = 0) {
        self.seed = seed
        self.purpose = purpose
        self.step = step
        self.stream = stream
    }

    /// A key of its own for a name: the FNV-1a hash of its UTF-8.
    public static func stream(named name: String) -> UInt64 {
        name.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
    }

    /// The generator's key and the upper half of its counter: 128 bits that hang on all four numbers.
    var kernelKey: ck_random_key {
        let first = [UInt64(purpose), step, stream].reduce(RandomKey.mixed(seed)) { RandomKey.mixed($0 ^ $1) }
        let second = RandomKey.mixed(first &+ 0x9e37_79b9_7f4a_7c15)
        return ck_random_key(
            key: (UInt32(truncatingIfNeeded: first), UInt32(truncatingIfNeeded: first >> 32)),
            counter: (UInt32(truncatingIfNeeded: second), UInt32(truncatingIfNeeded: second >> 32)))
    }

    /// SplitMix64's output function (Steele, Lea and Flood, 2014).
    private static func mixed(_ value: UInt64) -> UInt64 {
        var z = value &+ 0x9e37_79b9_7f4a_7c15
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// A random order of `0 ..< count`.
    public func permutation(_ count: Int) -> [Int64] {
        [Int64](unsafeUninitializedCapacity: max(0, count)) { buffer, filled in
            ck_permutation(kernelKey, buffer.baseAddress, Int64(max(0, count)))
            filled = max(0, count)
        }
    }

    /// `count` numbers of [0, 1).
    public func uniform(_ count: Int) -> [Double] {
        [Double](unsafeUninitializedCapacity: max(0, count)) { buffer, filled in
            var fill = ck_fill(
                key: kernelKey, output: buffer.baseAddress, count: Int64(max(0, count)), first: 0, second: 1, wide: 1)
            let groups = (max(0, count) + CK_GROUP - 1) / CK_GROUP
            ck_uniform(0, Int64(groups), &fill)
            filled = max(0, count)
        }
    }
}

extension Tensor {
    /// A mask for dropout: 0 with probability `p`, else 1/(1-p).
    /// - Throws: `TensorError` where `p` is outside 0 ... 1.
    public static func dropoutMask(
        _ shape: [Int], p: Double, key: RandomKey, type: ScalarType = .float32, device: Device = .cpu
    ) throws -> Tensor {
        guard p >= 0, p <= 1 else {
            throw TensorError(.value, "the probability of dropout is \(p); it must be from 0 to 1")
        }
        return try filled(shape, key, p, 0, type, device, ck_dropout_mask)
    }

    /// Numbers spread evenly over `low ..< high`.
    public static func uniform(
        _ shape: [Int], low: Double = 0, high: Double = 1, key: RandomKey, type: ScalarType = .float32,
        device: Device = .cpu
    ) throws -> Tensor {
        try filled(shape, key, low, high, type, device, ck_uniform)
    }

    /// Numbers of a normal distribution.
    public static func normal(
        _ shape: [Int], mean: Double = 0, std: Double = 1, key: RandomKey, type: ScalarType = .float32,
        device: Device = .cpu
    ) throws -> Tensor {
        try filled(shape, key, mean, std, type, device, ck_normal)
    }

    private static func filled(
        _ shape: [Int], _ key: RandomKey, _ first: Double, _ second: Double, _ type: ScalarType, _ device: Device,
        _ body: @convention(c) (Int64, Int64, UnsafeMutableRawPointer?) -> Void
    ) throws -> Tensor {
        guard type.isFloatingPoint else {
            throw TensorError(.type, "random numbers are not made as \(type.rawValue); use a floating-point type")
        }
        let made: ScalarType = type == .float64 ? .float64 : .float32
        let tensor = try empty(shape, type: made)
        var fill = ck_fill(
            key: key.kernelKey, output: ct_tensor_data(tensor.handle), count: Int64(tensor.count), first: first,
            second: second, wide: made == .float64 ? 1 : 0)
        let group = CK_GROUP
        Torch.parallel((tensor.count + group - 1) / group, grain: 512, body, &fill)
        return try tensor.to(type).to(device)
    }
}
