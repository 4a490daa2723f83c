import Foundation

/// Whether a handler that `signal` returned says that a parent wants the signal to be ignored, such as nohup or a shell that runs
/// a job in the background.
package func isIgnored(_ handler: sighandler_t?) -> Bool {
  unsafeBitCast(handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
}
