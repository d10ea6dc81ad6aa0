import Foundation
import MartletWire

/// Changes training rows at random, the same for the same (seed, step, row) whatever came before.
///
/// Images move together with every other image of their row; noise is drawn for each value.
public struct Augmenter: Sendable {
    private let steps: [AugmentStep]
    private let seed: UInt64

    public init(steps: [AugmentStep], seed: UInt64) {
        self.steps = steps
        self.seed = seed
    }

    public var isEmpty: Bool { steps.isEmpty }

    /// `batch` with its inputs changed; targets stay. `step` is the optimizer's step, `rows` the number of each row in
    /// the training split.
    public func apply(_ batch: FeatureBatch, step: UInt64, rows: [Int]) -> FeatureBatch {
        guard !steps.isEmpty, rows.count == batch.count else { return batch }
        return FeatureBatch(
            count: batch.count,
            features: batch.features.enumerated().map { place, feature in
                let (layout, values) = feature
                guard layout.role == .input else { return feature }
                switch values {
                case .bytes(var bytes):
                    change(&bytes, layout, step, rows, UInt64(place))
                    return (layout, .bytes(bytes))
                case .floats(var floats):
                    change(&floats, layout, step, rows, UInt64(place))
                    return (layout, .floats(floats))
                case .ints: return feature
                }
            })
    }

    private func change<Value: AugmentedValue>(
        _ values: inout [Value], _ layout: FeatureLayout, _ step: UInt64, _ rows: [Int], _ place: UInt64
    ) {
        let length = layout.elementCount
        guard length > 0 else { return }
        let isImage = layout.shape.count == 3
        var scratch = [Value](repeating: .zero, count: isImage ? length : 0)
        values.withUnsafeMutableBufferPointer { buffer in
            for (index, row) in rows.enumerated() {
                let slice = UnsafeMutableBufferPointer(rebasing: buffer[(index * length)..<((index + 1) * length)])
                for (number, augment) in steps.enumerated() {
                    var purpose = 0x100 + UInt64(number)
                    if case .noise = augment { purpose += (place + 1) << 16 }
                    var random = CounterRandom(seed: seed, purpose: purpose, step: step, row: UInt64(row))
                    if case .noise(let deviation) = augment {
                        if layout.isContinuous { noise(slice, deviation, &random) }
                    } else if isImage {
                        let image = PlanarImage(
                            values: slice, channels: layout.shape[0], height: layout.shape[1], width: layout.shape[2])
                        scratch.withUnsafeMutableBufferPointer { image.apply(augment, &random, scratch: $0) }
                    }
                }
            }
        }
    }

    /// Normal numbers by Box and Muller (1958).
    private func noise<Value: AugmentedValue>(
        _ values: UnsafeMutableBufferPointer<Value>, _ deviation: Double, _ random: inout CounterRandom
    ) {
        for index in values.indices {
            let radius = (-2 * log(1 - random.uniform())).squareRoot()
            values[index] = values[index].adding(radius * cos(2 * .pi * random.uniform()) * deviation)
        }
    }
}

/// A value of an image or a vector: bytes of 0…255 or floats of 0…1.
protocol AugmentedValue {
    static var zero: Self { get }
    init(mixed value: Float)
    var mixable: Float { get }
    /// Adds an amount that is meant for values of 0…1.
    func adding(_ amount: Double) -> Self
}

extension UInt8: AugmentedValue {
    init(mixed value: Float) { self = UInt8(Swift.max(0, Swift.min(255, value.rounded()))) }
    var mixable: Float { Float(self) }
    func adding(_ amount: Double) -> UInt8 { UInt8(mixed: Float(self) + Float(amount * 255)) }
}

extension Float: AugmentedValue {
    init(mixed value: Float) { self = value }
    var mixable: Float { self }
    func adding(_ amount: Double) -> Float { self + Float(amount) }
}

/// Planes of an image that are changed in place.
private struct PlanarImage<Value: AugmentedValue> {
    let values: UnsafeMutableBufferPointer<Value>
    let channels: Int
    let height: Int
    let width: Int

    func apply(_ step: AugmentStep, _ random: inout CounterRandom, scratch: UnsafeMutableBufferPointer<Value>) {
        switch step {
        case .flip(let axis):
            guard random.next() & 1 == 1 else { return }
            rearrange(scratch) { y, x in
                axis == .horizontal ? y * width + (width - 1 - x) : (height - 1 - y) * width + x
            }
        case .crop(let padding):
            guard padding > 0 else { return }
            let top = random.below(2 * padding + 1) - padding
            let left = random.below(2 * padding + 1) - padding
            rearrange(scratch) { y, x in
                let (fromY, fromX) = (y + top, x + left)
                return fromY >= 0 && fromY < height && fromX >= 0 && fromX < width ? fromY * width + fromX : -1
            }
        case .rotate(let degrees): rotate((2 * random.uniform() - 1) * degrees * .pi / 180, scratch)
        case .cutout(let size):
            // The centre is anywhere, so the square may hang over the edge (DeVries and Taylor 2017).
            let top = random.below(height) - size / 2
            let left = random.below(width) - size / 2
            for c in 0..<channels {
                for y in max(0, top)..<max(0, top, min(height, top + size)) {
                    for x in max(0, left)..<max(0, left, min(width, left + size)) {
                        values[(c * height + y) * width + x] = .zero
                    }
                }
            }
        case .noise: return
        }
    }

    /// Each pixel from another place of its plane; -1 is zero.
    private func rearrange(_ scratch: UnsafeMutableBufferPointer<Value>, _ source: (Int, Int) -> Int) {
        let plane = height * width
        for index in values.indices { scratch[index] = values[index] }
        for y in 0..<height {
            for x in 0..<width {
                let from = source(y, x)
                for c in 0..<channels {
                    values[c * plane + y * width + x] = from < 0 ? .zero : scratch[c * plane + from]
                }
            }
        }
    }

    /// About the middle, with bilinear sampling; outside is zero.
    private func rotate(_ angle: Double, _ scratch: UnsafeMutableBufferPointer<Value>) {
        let plane = height * width
        for index in values.indices { scratch[index] = values[index] }
        let (cosine, sine) = (Float(cos(angle)), Float(sin(angle)))
        let (middleY, middleX) = (Float(height - 1) / 2, Float(width - 1) / 2)
        for y in 0..<height {
            for x in 0..<width {
                let (dy, dx) = (Float(y) - middleY, Float(x) - middleX)
                let fromY = cosine * dy - sine * dx + middleY
                let fromX = sine * dy + cosine * dx + middleX
                let (y0, x0) = (Int(fromY.rounded(.down)), Int(fromX.rounded(.down)))
                let (wy, wx) = (fromY - Float(y0), fromX - Float(x0))
                for c in 0..<channels {
                    func at(_ y: Int, _ x: Int) -> Float {
                        y >= 0 && y < height && x >= 0 && x < width ? scratch[c * plane + y * width + x].mixable : 0
                    }
                    let top = at(y0, x0) * (1 - wx) + at(y0, x0 + 1) * wx
                    let bottom = at(y0 + 1, x0) * (1 - wx) + at(y0 + 1, x0 + 1) * wx
                    values[c * plane + y * width + x] = Value(mixed: top * (1 - wy) + bottom * wy)
                }
            }
        }
    }
}
