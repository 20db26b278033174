<?php

/** Never to be reached through the web server. */

declare(strict_types=1);

echo "cron.php\n";
