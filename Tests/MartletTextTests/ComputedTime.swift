import Foundation

/// What `work` gives, and how long this thread was computing for it: what else runs on the machine is not in it.
func computed<Result>(_ work: () throws -> Result) rethrows -> (result: Result, time: Duration) {
    func now() -> Duration {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
    let begun = now()
    let result = try work()
    return (result, now() - begun)
}
