/// A regular expression as a tree.
indirect enum RegexNode: Sendable {
    enum Greed: Sendable { case greedy, lazy, possessive }

    case empty
    case character(CharacterClass)
    case sequence([RegexNode])
    case alternatives([RegexNode])
    case repeated(RegexNode, min: Int, max: Int?, Greed)
    /// One scalar before or after this place, which must or must not be of a class.
    case look(CharacterClass, ahead: Bool, negated: Bool)
    case lineStart, lineEnd, textStart, textEnd

    /// Whether it can match without taking a scalar.
    var canBeEmpty: Bool {
        switch self {
        case .character: false
        case .sequence(let nodes): nodes.allSatisfy { $0.canBeEmpty }
        case .alternatives(let nodes): nodes.contains { $0.canBeEmpty }
        case .repeated(let node, let min, _, _): min == 0 || node.canBeEmpty
        default: true
        }
    }
}
