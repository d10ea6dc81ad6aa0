import MartletPlatform

extension HomeOwner {
    /// The owner of a home that listens already.
    static func live(_ home: String) -> HomeOwner? {
        guard let owner = current(home: home), !owner.url.isEmpty else { return nil }
        return owner
    }
}
