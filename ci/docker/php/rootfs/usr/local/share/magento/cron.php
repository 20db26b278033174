<?php
/**
 * Runs bin/magento cron:run to its end: that of everything which it started.
 *
 * Cron starts groups with a process of their own, and consumers, in the background. In a container they die with its first
 * process, in the middle of a job; so that one is this, which ends when they have ended, with cron:run's exit code. A signal
 * is handed on to all of them (see stop.php).
 *
 *     php cron.php PHP-ARGUMENT…
 */
declare(strict_types=1);

if (!function_exists('pcntl_fork') || !function_exists('posix_setsid')) { // stop.php says what that means
    passthru(implode(' ', array_map('escapeshellarg', [PHP_BINARY, ...array_slice($argv, 1)])), $code);
    exit($code);
}
// Before the child is there: no signal is lost between the two.
pcntl_sigprocmask(SIG_BLOCK, [SIGTERM, SIGQUIT, SIGINT]);
$child = pcntl_fork();
if ($child === -1) {
    fwrite(STDERR, "magento: cron:run cannot be started: fork failed\n");
    exit(1);
}
if ($child === 0) {
    posix_setsid(); // a group of its own, with all that it starts
    pcntl_sigprocmask(SIG_UNBLOCK, [SIGTERM, SIGQUIT, SIGINT]);
    pcntl_exec(PHP_BINARY, array_slice($argv, 1));
    fwrite(STDERR, "magento: cron:run cannot be started\n");
    exit(127);
}
pcntl_async_signals(true);
foreach ([SIGTERM, SIGQUIT, SIGINT] as $signal) {
    pcntl_signal($signal, static fn() => posix_kill(-$child, SIGTERM));
}
pcntl_sigprocmask(SIG_UNBLOCK, [SIGTERM, SIGQUIT, SIGINT]);

$code = null;
do {
    while (($ended = pcntl_waitpid(-1, $status, WNOHANG)) > 0) { // as the first process, of orphans as well
        if ($ended === $child) {
            $code = pcntl_wifexited($status) ? pcntl_wexitstatus($status) : 128 + pcntl_wtermsig($status);
        }
    }
    usleep(100_000);
} while ($code === null || posix_kill(-$child, 0));
exit($code);
