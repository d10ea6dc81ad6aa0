import MartletNN
import MartletTensor

/// What a session trains: where the loss of a step comes from, and how the result is measured.
///
/// Lives on the compute thread. A session asks for places in an epoch's order; which rows these are is the objective's.
public protocol TrainingObjective: AnyObject {
    /// What has the parameters.
    var module: any Module { get }
    /// Rows to train on: examples, or windows of a text.
    var rowCount: Int { get }
    /// What progress counts, `images`, `rows` or `tokens`, and how many of them a row has.
    var unit: (name: String, perRow: Int) { get }
    /// The share of the last batch that was right, where that can be said.
    var batchAccuracy: Double? { get }

    /// Puts the rows in an epoch's order, or leaves them as they lie.
    func begin(epoch: Int, shuffled: Bool) throws

    /// The mean losses over the rows at these places of the order, with their gradients: one for each output. What is
    /// minimised is their sum.
    func losses(_ places: Range<Int>, _ forward: Forward) throws -> [Tensor]

    /// What each of the losses at these places is a mean over, such as tokens, so that the parts of a step add up to the
    /// mean over all of it; the number of rows by default. Zero is a loss without a label.
    func weights(of places: Range<Int>) throws -> [Double]

    /// Cuts rows that are too much for one pass into parts whose gradients add up to theirs; by default one part.
    func parts(of places: Range<Int>) -> [Range<Int>]

    /// Metrics of the validation rows, `loss` among them; nil where there are none.
    func validate() throws -> [String: Double]?

    /// A look at what the model does by now, for the job's events; nil where there is nothing to show.
    func sample() throws -> String?
}

extension TrainingObjective {
    public func weights(of places: Range<Int>) throws -> [Double] { [Double(places.count)] }
    public func parts(of places: Range<Int>) -> [Range<Int>] { [places] }
}
