import MartletNN
import MartletTensor
import MartletWire

/// Weights of linear layers that are still in their files: serving reads each when it packs it, on any thread, so that
/// they are never all in memory as they lie in the files.
public final class DeferredWeights: @unchecked Sendable {
    // Unchecked: nothing changes after `init`, and each read of a file says its own offset.

    /// Where the numbers of a parameter [rows, columns] are.
    struct Place {
        var tensor: String
        var isTransposed: Bool
        /// The parameter's, not the file's.
        var shape: [Int]
    }
    private let files: WeightFiles
    private let places: [ObjectIdentifier: Place]

    init(_ files: WeightFiles, _ places: [ObjectIdentifier: Place]) {
        self.files = files
        self.places = places
    }

    /// Whether the parameter's numbers are in the files and not in memory.
    public func contains(_ parameter: Parameter) -> Bool { places[ObjectIdentifier(parameter)] != nil }

    /// Reads a parameter's numbers as float32, row by row.
    /// - Throws: `MartletError` where it is none of these, `target` has another length, or the file was cut.
    public func read(_ parameter: ObjectIdentifier, into target: UnsafeMutableBufferPointer<Float>) throws {
        guard let place = places[parameter] else {
            throw MartletError(.internal, "a parameter was asked for that is in memory already")
        }
        guard place.isTransposed, place.shape.count == 2 else { return try files.read(place.tensor, into: target) }
        let (rows, columns) = (place.shape[0], place.shape[1])
        let stored = try files.floats(place.tensor)
        guard stored.count == target.count, rows * columns == stored.count else {
            throw MartletError(.internal, "'\(place.tensor)' has \(stored.count) numbers, not \(target.count)")
        }
        for column in 0..<columns {
            for row in 0..<rows { target[row * columns + column] = stored[column * rows + row] }
        }
    }
}
