import Foundation
import MMoETensor

/// Holds a rank's messages back until a link of a rate and a latency would have delivered them: a token bucket that holds
/// nothing, so that no byte passes for free.
///
/// The time at which a message may leave is set when it is given, one message after the other, as the network card of a host
/// sends what lies in its buffers: it goes by whether the rank computes or looks. A rank that looks late sends all that is
/// due at once. So the model needs no thread, and costs the computation nothing but the copies of MPI; what is real of the
/// link is the traffic, what is modelled are the rate and the latency.
package final class LinkPacer {
  private let link: LinkModel
  private let clock: () -> Double
  /// When the link has sent all that it was given.
  private var idle = -Double.infinity
  private var held: [(due: Double, send: () -> Void)] = []
  private var next = 0
  private var isReleasing = false

  /// - Parameter clock: seconds that never go back.
  package init(_ link: LinkModel, clock: @escaping () -> Double = monotonicSeconds) {
    self.link = link
    self.clock = clock
  }

  /// Takes a message, which `send` hands on once it is due.
  package func hold(bytes: Int, send: @escaping () -> Void) {
    idle = max(clock(), idle) + Double(bytes) / link.bytesPerSecond
    held.append((idle + link.latency, send))
  }

  /// Sends what is due, in the order in which it was given.
  package func release() {
    guard next < held.count, !isReleasing else { return }
    isReleasing = true
    defer { isReleasing = false }
    let now = clock()
    while next < held.count, held[next].due <= now {
      held[next].send()
      next += 1
    }
    if next == held.count { (held, next) = ([], 0) }
  }

  /// Sleeps for a moment of a wait: nothing comes sooner over such a link, and a core may serve another rank.
  func rest() { usleep(20) }
}
