<?php
/**
 * Read before bin/magento: lets a queue consumer end its message, and cron its job, when the container is stopped.
 *
 * Magento takes no notice of signals. A consumer that is killed leaves its message "in progress", which MySQL's queue tries
 * again after a day; and as the first process of a container php is not even ended by a signal, but killed at the end of
 * stopTimeout, wherever it then is. Here SIGTERM, SIGQUIT (the image's stop signal) and SIGINT end the process in front of
 * the next message or job: what reads it is exchanged for something that ends the process instead. Nothing else changes.
 *
 * Written against Magento 2.4.7 (Magento\MysqlMq\Model\Driver\Queue::dequeue, Magento\Cron\Observer\ProcessCronQueueObserver).
 */
declare(strict_types=1);

(static function (): void {
    $verb = current(array_intersect(['queue:consumers:start', 'cron:run'], $_SERVER['argv'] ?? []));
    if ($verb === false) {
        return;
    }
    if (!function_exists('pcntl_async_signals')) {
        fwrite(STDERR, "magento: this image has no extension pcntl: when it is stopped, $verb is killed in the middle of its work\n");
        return;
    }

    /** Puts a value into a private property of one of Magento's objects. */
    $put = static function (object $of, string $class, string $property, object $value): void {
        (fn() => $this->$property = $value)->bindTo($of, $class)();
    };
    $get = static fn(object $of, string $class, string $property) => (fn() => $this->$property)->bindTo($of, $class)();

    /** The next message that this queue is asked for ends the process. A batch that is being read ends with it first. */
    $stopQueue = static function (object $queue, bool $batch) use ($put, $get): void {
        $class = Magento\MysqlMq\Model\Driver\Queue::class;
        $with = $get($queue, $class, 'queueManagement');
        $last = new class($batch) extends Magento\MysqlMq\Model\QueueManagement {
            public function __construct(private bool $batch)
            {
            }

            public function readMessages($queue, $maxMessagesNumber = null)
            {
                if (!$this->batch) {
                    exit(0);
                }
                $this->batch = false;
                return [];
            }
        };
        $properties = (fn() => get_object_vars($this))->bindTo($with, Magento\MysqlMq\Model\QueueManagement::class)();
        foreach ($properties as $name => $value) { // the message in hand is still acknowledged by it
            if (is_object($value)) {
                $put($last, Magento\MysqlMq\Model\QueueManagement::class, $name, $value);
            }
        }
        $put($queue, $class, 'queueManagement', $last);
    };

    /** The next job that cron locks ends the process. */
    $stopCron = static function (object $observer) use ($put, $get): void {
        $class = Magento\Cron\Observer\ProcessCronQueueObserver::class;
        $put($observer, $class, 'lockManager', new class($get($observer, $class, 'lockManager')) implements Magento\Framework\Lock\LockManagerInterface {
            public function __construct(private Magento\Framework\Lock\LockManagerInterface $locks)
            {
            }

            public function lock(string $name, int $timeout = -1): bool
            {
                exit(0);
            }

            public function unlock(string $name): bool
            {
                return $this->locks->unlock($name);
            }

            public function isLocked(string $name): bool
            {
                return $this->locks->isLocked($name);
            }
        });
    };

    $asked = false;
    $stopped = new SplObjectStorage();
    $handler = static function (int $signal) use ($verb, &$asked, $stopped, $stopQueue, $stopCron): void {
        $frames = debug_backtrace(DEBUG_BACKTRACE_PROVIDE_OBJECT);
        if (!$asked) {
            $asked = true;
            fwrite(STDERR, "magento: $verb is asked to stop, and ends its " . ($verb === 'cron:run' ? 'job' : 'message') . " first\n");
        }
        // Where the process stands: in a consumer or in cron's observer, with which queue, in the middle of a message?
        $at = $queue = $observer = null;
        $broker = $inMessage = false;
        foreach (array_slice($frames, 1) as $frame) {
            foreach (array_merge([$frame['object'] ?? null], $frame['args'] ?? []) as $thing) {
                if ($thing instanceof Magento\MysqlMq\Model\Driver\Queue) {
                    $queue ??= $thing;
                } elseif ($thing instanceof Magento\Framework\MessageQueue\QueueInterface) {
                    $broker = true;
                } elseif ($thing instanceof Magento\Framework\MessageQueue\ConsumerInterface) {
                    $at = $thing;
                } elseif ($thing instanceof Magento\Cron\Observer\ProcessCronQueueObserver) {
                    $observer = $thing;
                }
            }
            $inMessage = $inMessage || ($frame['object'] ?? null) instanceof Magento\Framework\MessageQueue\ConsumerInterface
                && str_contains($frame['function'], '{closure');
        }
        if ($observer !== null) {
            if (!$stopped->contains($observer)) {
                $stopped->attach($observer);
                $stopCron($observer);
            }
            return;
        }
        // Neither in a consumer nor in cron: still starting, or at its end. A broker (AMQP) hands out again what was not
        // acknowledged.
        if ($at === null || $queue === null && $broker && !$inMessage) {
            exit(0);
        }
        if ($queue !== null && !$stopped->contains($queue)) {
            $stopped->attach($queue);
            $stopQueue($queue, $at instanceof Magento\Framework\MessageQueue\BatchConsumer);
        }
        pcntl_alarm(1); // which ends a wait for messages
    };
    pcntl_async_signals(true);
    foreach ([SIGTERM, SIGQUIT, SIGINT, SIGALRM] as $signal) {
        pcntl_signal($signal, $handler);
    }
})();
