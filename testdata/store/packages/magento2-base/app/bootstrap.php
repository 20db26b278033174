<?php

/** Stand-in for Magento's bootstrap: the root of the store, and the autoloader. */

declare(strict_types=1);

error_reporting(E_ALL);

define('BP', dirname(__DIR__));

require_once __DIR__ . '/autoload.php';

umask(0002);
