import Foundation

private func processUsage() -> rusage {
  var usage = rusage()
  getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
  return usage
}

/// The largest resident size of this process so far, in 10⁶ bytes.
///
/// The system's count for the process (`ru_maxrss`) begins with the size of the program that started it; that of its memory,
/// `VmHWM`, does not.
package func peakResidentMegabytes() -> Double {
  let status = FileManager.default.contents(atPath: "/proc/self/status") ?? Data()
  let line = String(decoding: status, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
  let kilobytes = line?.split(separator: " ").dropLast().last.flatMap { Double($0) }
  return (kilobytes ?? Double(processUsage().ru_maxrss)) * 1024 / 1e6
}

/// Seconds that this process's threads have computed so far, in the program and in the system.
package func processCPUSeconds() -> Double {
  let usage = processUsage()
  func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
  return seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
