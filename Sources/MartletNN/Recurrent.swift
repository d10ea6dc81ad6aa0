import MartletTensor

extension Op {
    static let rnnTanh = Op("aten::rnn_tanh.input")
    static let rnnRelu = Op("aten::rnn_relu.input")
    static let lstm = Op("aten::lstm.input")
    static let gru = Op("aten::gru.input")
    static let packPadded = Op("aten::_pack_padded_sequence")
    static let padPacked = Op("aten::_pad_packed_sequence")
    static let rnnTanhPacked = Op("aten::rnn_tanh.data")
    static let rnnReluPacked = Op("aten::rnn_relu.data")
    static let lstmPacked = Op("aten::lstm.data")
    static let gruPacked = Op("aten::gru.data")
}

// B rows, T steps, I inputs, H hidden, D directions (1 or 2), L layers

/// A stack of recurrent layers: [B, T, I] → [B, T, H·D]. `RNN`, `LSTM` and `GRU` say which.
///
/// Parameters have PyTorch's names (`weight_ih_l0`, `bias_hh_l1_reverse`) and start evenly within ±1/√H. Dropout is
/// between the layers and comes from the pass's own keys.
public class Recurrent: Layer {
    fileprivate enum Cell { case tanh, relu, lstm, gru }

    /// What is carried from step to step: [L·D, B, H], and for an LSTM the cell's memory too.
    public struct State {
        public var hidden: Tensor
        public var memory: Tensor?

        public init(hidden: Tensor, memory: Tensor? = nil) {
            self.hidden = hidden
            self.memory = memory
        }
    }

    private let cell: Cell
    private let hidden: Int
    private let layers: Int
    private let directions: Int
    private let dropout: Double
    /// Per layer and direction: weight_ih, weight_hh, bias_ih, bias_hh.
    private let named: [(String, Parameter)]

    fileprivate init(
        _ cell: Cell, _ inputs: Int, _ hidden: Int, layers: Int, bidirectional: Bool, dropout: Double
    ) throws {
        guard inputs > 0, hidden > 0, layers > 0 else {
            throw TensorError(.value, "a recurrent layer needs at least one input, hidden unit and layer")
        }
        self.cell = cell
        self.hidden = hidden
        self.layers = layers
        directions = bidirectional ? 2 : 1
        self.dropout = dropout
        let gates = cell == .lstm ? 4 : cell == .gru ? 3 : 1
        var named: [(String, Parameter)] = []
        for layer in 0..<layers {
            for suffix in bidirectional ? ["", "_reverse"] : [""] {
                let width = layer == 0 ? inputs : hidden * directions
                for (name, shape, role) in [
                    ("weight_ih", [gates * hidden, width], Parameter.Role.weight),
                    ("weight_hh", [gates * hidden, hidden], .weight),
                    ("bias_ih", [gates * hidden], .bias), ("bias_hh", [gates * hidden], .bias),
                ] {
                    named.append(("\(name)_l\(layer)\(suffix)", try Parameter(shape, role, Bound.fan(hidden))))
                }
            }
        }
        self.named = named
    }

    public var children: [(String, Any)] { named.map { ($0.0, $0.1) } }

    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        try callAsFunction(x, state: nil, forward).output
    }

    /// Goes over the steps from a state, zeros where there is none, and gives the state after them.
    /// - Parameter lengths: how many steps of each row are real. Steps after them are not seen, from either side; the
    ///   output there is 0 and the state is the one after the last real step.
    public func callAsFunction(
        _ x_BTI: Tensor, state: State?, lengths: [Int]? = nil, _ forward: Forward
    ) throws -> (output: Tensor, state: State) {
        guard x_BTI.rank == 3 else {
            throw TensorError(.value, "a recurrent layer takes [rows, steps, inputs], not the shape \(x_BTI.shape)")
        }
        let zeros = { [self] in
            try Tensor.zeros(
                [layers * directions, x_BTI.size(0), hidden], type: x_BTI.scalarType, device: x_BTI.device)
        }
        let start = State(
            hidden: try state?.hidden ?? zeros(), memory: cell == .lstm ? try state?.memory ?? zeros() : nil)
        if let lengths { return try packed(x_BTI, start, lengths, forward) }
        return try stacked(x_BTI, start, forward) { x, state, range in
            try run(.tensor(x), nil, state, range, training: forward.training)
        }
    }

    /// All layers in one call, or one call a layer where dropout stands between them: libtorch's own dropout would
    /// draw from its global generator.
    private func stacked(
        _ x: Tensor, _ start: State, _ forward: Forward,
        _ body: (Tensor, State, Range<Int>) throws -> (Tensor, State)
    ) throws -> (output: Tensor, state: State) {
        guard forward.training, dropout > 0, layers > 1 else { return try body(x, start, 0..<layers) }
        var x = x
        var ends: [State] = []
        for layer in 0..<layers {
            let slice = { [directions] (tensor: Tensor) in
                try tensor.narrow(0, from: layer * directions, length: directions).contiguous()
            }
            let part = State(hidden: try slice(start.hidden), memory: try start.memory.map(slice))
            let (output, end) = try body(x, part, layer..<layer + 1)
            x = layer + 1 < layers ? try forward.dropout(output, dropout) : output
            ends.append(end)
        }
        let memories = ends.compactMap(\.memory)
        let end = State(
            hidden: try Tensor.cat(ends.map(\.hidden)), memory: memories.isEmpty ? nil : try Tensor.cat(memories))
        return (x, end)
    }

    /// Rows sorted by length and without their padding, as libtorch's packed sequences want them.
    private func packed(
        _ x_BTI: Tensor, _ start: State, _ lengths: [Int], _ forward: Forward
    ) throws -> (output: Tensor, state: State) {
        let steps = x_BTI.size(1)
        guard lengths.count == x_BTI.size(0), lengths.allSatisfy({ $0 >= 1 && $0 <= steps }) else {
            throw TensorError(
                .value, "lengths must be one number from 1 to \(steps) for each of \(x_BTI.size(0)) rows")
        }
        let order = lengths.indices.sorted { (lengths[$1], $0) < (lengths[$0], $1) }
        var inverse = [Int](repeating: 0, count: order.count)
        for (place, row) in order.enumerated() { inverse[row] = place }
        let sorted = try Tensor(order, device: x_BTI.device)
        let unsorted = try Tensor(inverse, device: x_BTI.device)
        let parts = try Op.packPadded.tensors(
            .tensor(x_BTI.indexSelect(0, sorted)), .tensor(Tensor(order.map { lengths[$0] })), true)
        let first = State(
            hidden: try start.hidden.indexSelect(1, sorted), memory: try start.memory?.indexSelect(1, sorted))
        let (output, end) = try stacked(parts[0], first, forward) { x, state, range in
            try run(.tensor(x), .tensor(parts[1]), state, range, training: forward.training)
        }
        let padded = try Op.padPacked.tensors(.tensor(output), .tensor(parts[1]), true, 0.0, .int(steps))
        let state = State(
            hidden: try end.hidden.indexSelect(1, unsorted), memory: try end.memory?.indexSelect(1, unsorted))
        return (try padded[0].indexSelect(0, unsorted), state)
    }

    /// Some of the layers over plain or packed rows.
    private func run(
        _ x: Value, _ batchSizes: Value?, _ state: State, _ range: Range<Int>, training: Bool
    ) throws -> (Tensor, State) {
        let perLayer = 4 * directions
        let parameters = Value.tensors(
            named[range.lowerBound * perLayer..<range.upperBound * perLayer].map(\.1.value))
        let start: Value = state.memory.map { .tensors([state.hidden, $0]) } ?? .tensor(state.hidden)
        let count = Value.int(range.count)
        let both = Value.bool(directions == 2)
        let train = Value.bool(training)
        let results: [Tensor]
        if let batchSizes {
            let op: Op =
                switch cell {
                case .tanh: .rnnTanhPacked
                case .relu: .rnnReluPacked
                case .lstm: .lstmPacked
                case .gru: .gruPacked
                }
            results = try op.tensors(x, batchSizes, start, parameters, true, count, 0.0, train, both)
        } else {
            let op: Op =
                switch cell {
                case .tanh: .rnnTanh
                case .relu: .rnnRelu
                case .lstm: .lstm
                case .gru: .gru
                }
            results = try op.tensors(x, start, parameters, true, count, 0.0, train, both, true)
        }
        return (results[0], State(hidden: results[1], memory: results.count > 2 ? results[2] : nil))
    }
}

/// `h = f(W·x + b + U·h + c)` with tanh or relu (Elman, 1990).
public final class RNN: Recurrent {
    public enum Nonlinearity: String, Codable, Sendable { case tanh, relu }

    public init(
        _ inputs: Int, _ hidden: Int, layers: Int = 1, nonlinearity: Nonlinearity = .tanh,
        bidirectional: Bool = false, dropout: Double = 0
    ) throws {
        try super.init(
            nonlinearity == .tanh ? .tanh : .relu, inputs, hidden, layers: layers, bidirectional: bidirectional,
            dropout: dropout)
    }
}

/// Long short-term memory (Hochreiter and Schmidhuber, 1997), gates in the order input, forget, cell, output.
public final class LSTM: Recurrent {
    public init(
        _ inputs: Int, _ hidden: Int, layers: Int = 1, bidirectional: Bool = false, dropout: Double = 0
    ) throws {
        try super.init(.lstm, inputs, hidden, layers: layers, bidirectional: bidirectional, dropout: dropout)
    }
}

/// Gated recurrent unit (Cho and others, 2014), gates in the order reset, update, new.
public final class GRU: Recurrent {
    public init(
        _ inputs: Int, _ hidden: Int, layers: Int = 1, bidirectional: Bool = false, dropout: Double = 0
    ) throws {
        try super.init(.gru, inputs, hidden, layers: layers, bidirectional: bidirectional, dropout: dropout)
    }
}
