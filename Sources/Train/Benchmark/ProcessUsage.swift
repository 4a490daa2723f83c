import Foundation

private func processUsage() -> rusage {
  var usage = rusage()
  getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
  return usage
}

/// The largest resident size of this process so far, in 10⁶ bytes.
public func peakResidentMegabytes() -> Double {
  Double(processUsage().ru_maxrss) * 1024 / 1e6
}

/// Seconds that this process's threads have computed so far, in the program and in the system.
func processCPUSeconds() -> Double {
  let usage = processUsage()
  func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
  return seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
