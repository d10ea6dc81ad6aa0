extension Tensor {
    /// The same elements in another shape; one length may be -1.
    public func reshape(_ shape: [Int]) throws -> Tensor { try Op.reshape.tensor(.tensor(self), .ints(shape)) }

    /// Dimensions `start` to `end` made one.
    public func flatten(from start: Int = 1, to end: Int = -1) throws -> Tensor {
        try Op.flatten.tensor(.tensor(self), .int(start), .int(end))
    }

    /// Two dimensions swapped.
    public func transpose(_ first: Int = -1, _ second: Int = -2) throws -> Tensor {
        try Op.transpose.tensor(.tensor(self), .int(first), .int(second))
    }

    /// The dimensions in another order.
    public func permute(_ axes: [Int]) throws -> Tensor { try Op.permute.tensor(.tensor(self), .ints(axes)) }

    /// Elements `start ..< end` of one dimension; bounds past the end are cut, negative ones count from it.
    public func slice(_ axis: Int = 0, from start: Int = 0, to end: Int? = nil, step: Int = 1) throws -> Tensor {
        try Op.slice.tensor(.tensor(self), .int(axis), .int(start), end.map(Value.int) ?? .none, .int(step))
    }

    /// One element of a dimension, which goes away.
    public func select(_ axis: Int, _ index: Int) throws -> Tensor {
        try Op.select.tensor(.tensor(self), .int(axis), .int(index))
    }

    /// `length` elements of one dimension from `start`; throws where there are not so many.
    public func narrow(_ axis: Int, from start: Int, length: Int) throws -> Tensor {
        try Op.narrow.tensor(.tensor(self), .int(axis), .int(start), .int(length))
    }

    /// The elements of one dimension that a vector of integers names, in its order.
    public func indexSelect(_ axis: Int, _ indices: Tensor) throws -> Tensor {
        try Op.indexSelect.tensor(.tensor(self), .int(axis), .tensor(indices))
    }

    /// For each place in `indices` the element that it names along `axis`.
    public func gather(_ axis: Int, _ indices: Tensor) throws -> Tensor {
        try Op.gather.tensor(.tensor(self), .int(axis), .tensor(indices))
    }

    /// A number where the mask is true.
    public func maskedFill(_ mask: Tensor, _ number: Double) throws -> Tensor {
        try Op.maskedFill.tensor(.tensor(self), .tensor(mask), .double(number))
    }

    /// The lower triangle of the last two dimensions.
    public func tril(_ diagonal: Int = 0) throws -> Tensor { try Op.tril.tensor(.tensor(self), .int(diagonal)) }

    /// The upper triangle of the last two dimensions.
    public func triu(_ diagonal: Int = 0) throws -> Tensor { try Op.triu.tensor(.tensor(self), .int(diagonal)) }

    /// Dimensions of length 1 repeated without a copy.
    public func expand(_ shape: [Int]) throws -> Tensor { try Op.expand.tensor(.tensor(self), .ints(shape)) }

    /// The whole repeated so often along each dimension.
    public func repeated(_ times: [Int]) throws -> Tensor { try Op.repeated.tensor(.tensor(self), .ints(times)) }

    /// Without one dimension of length 1.
    public func squeeze(_ axis: Int) throws -> Tensor { try Op.squeeze.tensor(.tensor(self), .int(axis)) }

    /// With a new dimension of length 1.
    public func unsqueeze(_ axis: Int) throws -> Tensor { try Op.unsqueeze.tensor(.tensor(self), .int(axis)) }

    /// The order of some dimensions turned round.
    public func flip(_ axes: [Int]) throws -> Tensor { try Op.flip.tensor(.tensor(self), .ints(axes)) }

    /// With a number around it: (before, after) for the last dimension, then the one before it, and so on.
    public func padded(_ lengths: [Int], with number: Double = 0) throws -> Tensor {
        try Op.pad.tensor(.tensor(self), .ints(lengths), .double(number))
    }

    /// Each integer as a vector with a 1 in its place.
    public func oneHot(_ classCount: Int) throws -> Tensor { try Op.oneHot.tensor(.tensor(self), .int(classCount)) }

    /// How often each integer from 0 on occurs, at least `minimum` counts.
    public func bincount(minimum: Int = 0) throws -> Tensor {
        try Op.bincount.tensor(.tensor(self), .none, .int(minimum))
    }

    /// Parts of at most `size` elements of one dimension.
    public func split(_ size: Int, axis: Int = 0) throws -> [Tensor] {
        try Op.split.tensors(.tensor(self), .int(size), .int(axis))
    }

    /// Parts of the given sizes of one dimension; they must add up to it.
    public func split(_ sizes: [Int], axis: Int = 0) throws -> [Tensor] {
        try Op.splitWithSizes.tensors(.tensor(self), .ints(sizes), .int(axis))
    }

    /// `count` parts of one dimension, the last perhaps shorter.
    public func chunk(_ count: Int, axis: Int = 0) throws -> [Tensor] {
        try Op.chunk.tensors(.tensor(self), .int(count), .int(axis))
    }

    /// The elements of one dimension in order, and where each came from.
    public func sorted(_ axis: Int = -1, descending: Bool = false) throws -> (values: Tensor, indices: Tensor) {
        try Tensor.pair(Op.sort.tensors(.tensor(self), .int(axis), .bool(descending)))
    }

    /// The largest `count` elements of one dimension, and where they are.
    public func topk(_ count: Int, axis: Int = -1) throws -> (values: Tensor, indices: Tensor) {
        try Tensor.pair(Op.topk.tensors(.tensor(self), .int(count), .int(axis)))
    }

    /// Tensors joined along a dimension that they have.
    public static func cat(_ tensors: [Tensor], axis: Int = 0) throws -> Tensor {
        try Op.cat.tensor(.tensors(tensors), .int(axis))
    }

    /// Tensors of one shape joined along a new dimension.
    public static func stack(_ tensors: [Tensor], axis: Int = 0) throws -> Tensor {
        try Op.stack.tensor(.tensors(tensors), .int(axis))
    }

    /// `first` where the condition is true, `second` elsewhere.
    public static func `where`(_ condition: Tensor, _ first: Tensor, _ second: Tensor) throws -> Tensor {
        try Op.whereSelf.tensor(.tensor(condition), .tensor(first), .tensor(second))
    }

    static func pair(_ tensors: [Tensor]) throws -> (Tensor, Tensor) {
        guard tensors.count == 2 else { throw TensorError(.type, "two tensors were expected") }
        return (tensors[0], tensors[1])
    }
}
